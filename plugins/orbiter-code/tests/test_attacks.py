"""No attack gets a pass, has an effect, or hinders the next program; in each sandbox that this machine has."""

import contextlib
import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from attack_suite import (
    FAMILIES,
    SANDBOXES,
    World,
    part_of,
    read_attacks,
    run_attack,
    verifier_under_attack,
)

import orbiter

SUITE = Path(__file__).parent / "attack_suite.py"
ATTACKS = [attack for family in FAMILIES for attack in read_attacks(family)]
NOBODY = 65534
# Each attack meets the default sandbox. Each other way to run one meets a share of them, another one each, or all.
WAYS = [("namespaces", 0), ("bubblewrap", 0), *((s, NOBODY) for s in SANDBOXES)]
SHARES = 1 if os.environ.get("ORBITER_ALL_ATTACKS") else 12
PARTS = {way: f"{number % SHARES}::{SHARES}" for number, way in enumerate(WAYS)}
AS_ROOT = [(s, a) for s, u in WAYS if not u for a in part_of(ATTACKS, PARTS[s, u])]


@pytest.fixture(scope="module")
def scene(required):
    """Return a function that gives a verifier and the world that its attackers see, by sandbox."""
    with contextlib.ExitStack() as cleanup:

        @functools.cache
        def make(sandbox):
            verifier = cleanup.enter_context(contextlib.closing(verifier_under_attack(sandbox)))
            return verifier, cleanup.enter_context(contextlib.closing(World(verifier)))

        def made(sandbox):
            required(sandbox)
            return make(sandbox)

        yield made


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: f"{a.family}-{a.name}")
def test_in_the_default_sandbox(scene, attack):
    verifier, world = scene("zygote")
    assert run_attack(verifier, attack, world) == []


@pytest.mark.parametrize(
    ("sandbox", "attack"),
    AS_ROOT,
    ids=lambda v: v if isinstance(v, str) else f"{v.family}-{v.name}",
)
def test_in_each_other_sandbox(scene, sandbox, attack):
    verifier, world = scene(sandbox)
    assert run_attack(verifier, attack, world) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_in_each_sandbox_as_a_user_without_rights(required, interpreter):
    for sandbox in SANDBOXES:
        required(sandbox)
    parts = {sandbox: PARTS[sandbox, NOBODY] for sandbox in SANDBOXES}
    assert run_suite(interpreter, parts) == {
        sandbox: {"count": len(part_of(ATTACKS, part)), "wrong": {}}
        for sandbox, part in parts.items()
    }


def run_suite(interpreter, parts):
    installed = [path for path in sys.path if path.endswith("site-packages")]
    paths = [Path(orbiter.__file__).parents[1], SUITE.parents[1], *installed]
    environment = {
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "ORBITER_PLUGINS": "orbiter-code",
    }
    done = subprocess.run(
        [interpreter, "-W", "ignore", str(SUITE), *(f"{s}={p}" for s, p in parts.items())],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        cwd="/",
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_there_are_enough():
    names = {(a.family, a.name) for a in ATTACKS}
    assert len(names) == len(ATTACKS) >= 400
