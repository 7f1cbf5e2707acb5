"""What all the tests share."""

import gc

from hypothesis import HealthCheck, settings

# A busy machine is no fault of what is tested: an example may take its time, and so may its making.
settings.register_profile(
    "unhurried",
    settings.get_profile(settings.get_current_profile_name()),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("unhurried")


def pytest_collection_modifyitems(config, items):
    """Begin with what takes long where processes share the tests: none of them is to be left alone with it at the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish():
    """Take what the tests imported out of the garbage collector's sight.

    It lives to the end, and every training asks for a whole collection, which would look at all of it each time.
    """
    gc.collect()
    gc.freeze()
