"""The built-in names, arriving through the same hook as a plugin's."""

from __future__ import annotations

from orbiter import hookimpl
from orbiter.registry import Registry

NAMES: dict[str, dict[str, str]] = {
    "environment": {
        "addition": "orbiter.tasks.addition:Addition",
        "countdown": "orbiter.tasks.countdown:Countdown",
        "jsonl": "orbiter.tasks.jsonl:JsonlEnvironment",
        "reversal": "orbiter.tasks.reversal:Reversal",
        "sorting": "orbiter.tasks.sorting:Sorting",
    },
    "verifier": {
        "all_of": "orbiter.verify.combine:AllOf",
        "any_of": "orbiter.verify.combine:AnyOf",
        "cascade": "orbiter.verify.combine:Cascade",
        "constitution_judge": "orbiter.verify.judges.constitution:ConstitutionJudge",
        "countdown": "orbiter.verify.countdown:CountdownVerifier",
        "exact": "orbiter.verify.exact:ExactVerifier",
        "format": "orbiter.verify.format:FormatVerifier",
        "gate": "orbiter.verify.combine:Gate",
        "language": "orbiter.verify.language:LanguageVerifier",
        "length": "orbiter.verify.length:LengthVerifier",
        "majority": "orbiter.verify.combine:Majority",
        "numeric": "orbiter.verify.numeric:NumericVerifier",
        "pairwise_judge": "orbiter.verify.judges.pairwise:PairwiseJudge",
        "pointwise_judge": "orbiter.verify.judges.pointwise:PointwiseJudge",
        "process": "orbiter.verify.process:Process",
        "regex": "orbiter.verify.regex:RegexVerifier",
        "repetition": "orbiter.verify.repetition:RepetitionVerifier",
        "section": "orbiter.verify.format:SectionVerifier",
        "static": "orbiter.verify.static:StaticTraceVerifier",
        "tool_call": "orbiter.verify.tool_call:ToolCallVerifier",
        "turns": "orbiter.verify.turns:TurnsVerifier",
        "weighted": "orbiter.verify.combine:Weighted",
    },
    "policy": {
        "openai": "orbiter.generate.openai:OpenAIPolicy",
        "replay": "orbiter.generate.replay:ReplayPolicy",
        "scripted": "orbiter.generate.scripted:ScriptedPolicy",
    },
    "synthesiser": {
        "back_translation": "orbiter.generate.back_translation:BackTranslation",
        "evol": "orbiter.generate.evol:Evol",
        "hard_negatives": "orbiter.generate.hard_negatives:HardNegatives",
        "multi_turn": "orbiter.generate.multi_turn:MultiTurn",
        "self_instruct": "orbiter.generate.self_instruct:SelfInstruct",
        "spin": "orbiter.generate.spin:SpinRows",
        "template": "orbiter.generate.templates:TemplateSynthesiser",
    },
    "strategy": {
        "default": "orbiter.train.dataset:DefaultStrategy",
    },
    "trainer": {
        "model": "orbiter.train.model_trainer:ModelTrainer",
        "verl": "orbiter.train.verl:VeRLTrainer",
    },
    "exporter": {
        "llama-factory": "orbiter.curate.export.sharegpt:LlamaFactory",
        "ms-swift": "orbiter.curate.export.ms_swift:MsSwift",
        "openai": "orbiter.curate.export.openai:OpenAI",
        "sharegpt": "orbiter.curate.export.sharegpt:ShareGpt",
        "trl-preference": "orbiter.curate.export.trl:TrlPreference",
        "trl-prompt-completion": "orbiter.curate.export.trl:TrlPromptCompletion",
        "trl-prompt-only": "orbiter.curate.export.trl:TrlPromptOnly",
        "trl-sft": "orbiter.curate.export.trl:TrlSft",
        "trl-unpaired": "orbiter.curate.export.trl:TrlUnpaired",
        "verl": "orbiter.curate.export.verl:Verl",
    },
}
"""Kind to name to ``module:attr``."""


@hookimpl
def orbiter_register(registry: Registry) -> None:
    """Add every built-in name."""
    for kind, names in NAMES.items():
        for name, target in names.items():
            registry.add(kind, name, target)
