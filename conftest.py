"""What all the tests share."""

import gc


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
