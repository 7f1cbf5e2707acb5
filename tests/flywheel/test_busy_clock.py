import contextlib

from orbiter.flywheel.busy_clock import BusyClock


def test_overlapping_work_counts_once(clock):
    busy = BusyClock()
    with busy:
        clock[0] += 2
        with busy:
            clock[0] += 3
        clock[0] += 1
    clock[0] += 10
    assert busy.total_s == 6
    with busy:
        clock[0] += 4
        assert busy.total_s == 10
    assert busy.total_s == 10


def test_work_that_fails_counts_too(clock):
    busy = BusyClock()
    with contextlib.suppress(ZeroDivisionError), busy:
        clock[0] += 5
        clock[0] /= 0
    assert busy.total_s == 5
