"""What all the tests share."""

import gc


def pytest_collection_finish():
    """Take what the tests imported out of the garbage collector's sight.

    It lives to the end, and every training asks for a whole collection, which would look at all of it each time.
    """
    gc.collect()
    gc.freeze()
