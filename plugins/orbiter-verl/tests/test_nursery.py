"""How a worker is asked for; test_grpo_run shows that the workers of a training are forks."""

import json
import os
import socket
import subprocess
import sys
import threading

import pytest
from orbiter_verl import asking


@pytest.fixture
def nursery(tmp_path):
    """Return the address of a nursery that hears one request and says a word where the worker would, and what it heard.

    It ends without a worker where one is asked for with ``--lost``.
    """
    heard = []

    def hear():
        connection, _ = listener.accept()
        with connection:
            wanted, streams = asking.receive(connection)
            heard.append(wanted)
            if "--lost" not in wanted["arguments"]:
                os.write(streams[1], b"a worker")
                connection.sendall(asking.DONE)
        for stream in streams:
            os.close(stream)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "nursery"))
        listener.listen()
        thread = threading.Thread(target=hear)
        thread.start()
        yield str(tmp_path / "nursery"), heard
        thread.join()


def begin(tmp_path, address, argument="--one=1"):
    """Begin what Ray starts in the place of a worker, and return what is then said."""
    (tmp_path / "setup_worker.py").write_text("import sys; print('as Ray has it', sys.argv[1:])")
    done = subprocess.run(
        [sys.executable, asking.__file__, "-s", str(tmp_path / "default_worker.py"), argument],
        env={**os.environ, asking.ADDRESS: address, "LONG": "x" * 100_000, "ODD": "\udcff"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def test_a_worker_is_asked_for_with_all_that_it_was_given(tmp_path, nursery):
    address, heard = nursery
    assert begin(tmp_path, address) == "a worker"
    (wanted,) = heard
    assert wanted["arguments"] == ["-s", str(tmp_path / "default_worker.py"), "--one=1"]
    assert wanted["folder"] == str(tmp_path)
    assert (len(wanted["environ"]["LONG"]), wanted["environ"]["ODD"]) == (100_000, "\udcff")


def test_without_a_nursery_it_becomes_a_worker_the_way_of_ray(tmp_path):
    said = begin(tmp_path, str(tmp_path / "nowhere"))
    assert said == f"as Ray has it {['-s', str(tmp_path / 'default_worker.py'), '--one=1']}\n"


def test_a_nursery_that_ends_before_there_is_a_worker_leaves_it_to_ray(tmp_path, nursery):
    address, heard = nursery
    said = begin(tmp_path, address, "--lost")
    assert said == f"as Ray has it {['-s', str(tmp_path / 'default_worker.py'), '--lost']}\n"
    assert len(heard) == 1


def test_a_fork_ends_by_itself_even_if_it_can_say_nothing():
    code = (
        "import sys; from orbiter_verl.nursery import _end_after\n"
        "try: _end_after(sys.stdout.close)\n"
        "finally: print('went on', file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, check=True)
    assert done.stderr == b""


def test_under_another_version_of_ray_so_does_the_fork(tmp_path):
    (tmp_path / "setup_worker.py").write_text("import sys; print('as Ray has it', sys.argv[1:])")
    arguments = [str(tmp_path / "default_worker.py"), "--one=1"]
    wanted = {"environ": dict(os.environ), "folder": str(tmp_path), "arguments": arguments}
    code = (
        "import json, sys; from orbiter_verl.nursery import _be_worker\n"
        "sys.modules['ray._private.workers'] = None\n"  # what it was told to import is gone
        f"_be_worker(json.loads({json.dumps(wanted)!r}), ())"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)  # fmt: skip
    assert done.stdout == f"as Ray has it {arguments}\n"
