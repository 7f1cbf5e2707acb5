import orjson
from orbiter_liveweb.composing import questions_of
from orbiter_liveweb.environment import LiveWebEnvironment
from orbiter_liveweb.session import call

from orbiter.records import Message, Outcome, Trajectory
from orbiter.verify.verifier import judge


def test_a_model_with_the_toolbox_passes(web):
    """What a policy does with the tools of the environment is judged as what the teacher did."""
    environment = LiveWebEnvironment(cache_dir=web, templates=["league/nth_club"])
    task = environment.task(0, seed=0)
    (question,) = questions_of(task.task_id)
    league, place = question.variables
    toolbox = environment.toolbox()
    toolbox.reset(task)
    listing = toolbox.goto(f"https://league.example/league/{league}")
    names = [
        line.split('"')[1]
        for line in listing.split("\n")
        if "- link" in line and "Season" not in line and "League" not in line
    ]
    acts = [
        ("goto", {"url": f"https://league.example/league/{league}"}),
        ("stop", {"answer": names[int(place) - 1]}),
    ]
    toolbox.reset(task)
    turns = []
    for n, (name, arguments) in enumerate(acts):
        made = {
            "id": str(n),
            "type": "function",
            "function": {"name": name, "arguments": orjson.dumps(arguments).decode()},
        }
        turns += [
            Message("assistant", None, tool_calls=(made,)),
            Message("tool", call(toolbox, name, arguments), tool_call_id=str(n)),
        ]
    verdict = judge(environment.verifier(), task, Trajectory.following(task, *turns))
    assert verdict.outcome is Outcome.PASS, verdict.reason
