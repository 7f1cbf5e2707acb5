"""SIGTERM is raised where it comes, once, and what was before is restored."""

import signal
import threading

import pytest

from orbiter.cli import main
from orbiter.cli.stopping import Terminated, stop_code, terminable


@pytest.fixture(autouse=True)
def by_default():
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


def test_it_is_raised_once_and_a_second_one_disturbs_nothing():
    cleared = []
    with pytest.raises(Terminated) as caught, terminable():  # noqa: PT012  # what is raised is raised by the first line
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            cleared.append(True)
    assert cleared == [True]
    assert stop_code(caught.value) == 143
    assert stop_code(KeyboardInterrupt()) == 130
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_where_somebody_else_takes_care_it_changes_nothing():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with terminable():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


def test_in_another_thread_it_changes_nothing():
    found = []

    def look():
        with terminable():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [signal.SIG_DFL]


def test_an_audit_that_is_told_to_end_says_so(monkeypatch, capsys):
    def told(*_, **__):
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("orbiter.flywheel.audit_report.examine", told)
    assert main(["audit", "exact", "--environment", "sorting", "--tasks", "1"]) == 143
    assert capsys.readouterr().err == "\norbiter: interrupted\n"
