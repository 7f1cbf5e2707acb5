"""What a refusal of the command line must look like."""

import pytest


@pytest.fixture
def refused(orbiter):
    """Return a function that runs a command which must be refused, and gives the line that says why and the hint."""

    def run(*arguments, code=2):
        said = orbiter(*arguments)
        what, *todo = said.err.splitlines() or [""]
        assert what.startswith("orbiter: error: "), said
        assert all(line.startswith("  ") for line in todo), said
        assert len(todo) <= 2, said  # what to do, and the place where code of the user's raised
        assert "Traceback" not in said.err + said.out
        assert said.code == code, said
        return what.removeprefix("orbiter: error: "), "\n".join(line.strip() for line in todo)

    return run
