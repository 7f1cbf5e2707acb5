"""The check of a JudgeModel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from orbiter.testing.contract import Contract, shown, through_pickle
from orbiter.verify.judges.model import JudgeModel, Question, Reply


def check_judge_model(
    make: Callable[[], JudgeModel], questions: Sequence[Question], *, stochastic: bool = False
) -> None:
    """Check that a judge model keeps its contract.

    The clauses: it is named, in a fresh instance the same, and says how many questions it puts at once; ``ask`` gives one reply per
    question, in their order, and none for none; each reply has a text or an error; it can be asked inside a running event loop, and after
    it was pickled as for a worker.

        def test_coin():
            check_judge_model(Coin, [Question(messages=(Message("user", "heads?"),), seed=n) for n in range(4)])

    Args:
        make: Makes a fresh instance: the class, or a function that passes options to it.
        questions: At least two, to which the model does not reply the same.
        stochastic: The same question may be replied to in another way again, so that the order cannot be checked.

    Raises:
        AssertionError: A clause is broken; the message names it.
    """
    model = make()
    contract = Contract("judge_model", type(model).__name__)
    named = getattr(model, "model", None)
    contract.clause(
        "model", isinstance(named, str) and named, f"model must be a text, got {named!r}"
    )
    contract.clause(
        "model",
        make().model == named,
        f"a fresh instance must have the same model, got {make().model!r} after {named!r}",
    )
    contract.clause(
        "concurrency",
        type(model.concurrency) is int and model.concurrency >= 1,
        f"concurrency must be an integer >= 1, got {model.concurrency!r}",
    )
    replies = _ask(contract, model, questions)
    _ask(contract, model, ())
    with contract.without_error("pickled", "pickling an instance, as for a worker,"):
        sent = through_pickle(make())
    elsewhere = _ask(contract, sent, questions)
    contract.clause(
        "pickled",
        sent.model == named,
        f"an instance that was pickled must have the same model, got {sent.model!r} after {named!r}",
    )

    async def inside() -> list[Reply]:
        return _ask(contract, model, questions)

    again = asyncio.run(inside())
    if stochastic:
        return
    texts = [reply.text for reply in replies]
    if len(set(texts)) < 2:
        raise ValueError(f"questions must get at least two different replies, got {shown(texts)}")
    contract.clause(
        "same replies again",
        [reply.text for reply in again] == texts,
        f"the same questions must get the same replies, got {shown(again)} after {shown(replies)}",
    )
    contract.clause(
        "pickled",
        [reply.text for reply in elsewhere] == texts,
        f"an instance that was pickled must reply the same, got {shown(elsewhere)} after {shown(replies)}",
    )
    backwards = [reply.text for reply in _ask(contract, model, questions[::-1])]
    contract.clause(
        "order",
        backwards == texts[::-1],
        f"replies must come in the order of the questions, got {shown(backwards)} for the reverse of {shown(texts)}",
    )


def _ask(contract: Contract, model: JudgeModel, questions: Sequence[Question]) -> list[Reply]:
    with contract.without_error("replies", f"ask() of {len(questions)} questions"):
        replies = list(model.ask(questions))
    contract.clause(
        "replies",
        len(replies) == len(questions),
        f"ask() must return one reply per question, got {len(replies)} for {len(questions)}",
    )
    for reply in replies:
        contract.clause(
            "replies",
            isinstance(reply, Reply) and (reply.text is not None or reply.error),
            f"a reply must be a Reply with a text or an error, got {shown(reply)}",
        )
    return replies
