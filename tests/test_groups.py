"""Tests of one group run in one process, so that what they share is made once: pytest-xdist reads groups from the ends of ids."""

import pytest


@pytest.mark.xdist_group("alone")
def test_a_group_is_known_by_the_ids_of_its_tests(request):
    if not getattr(request.config.option, "loadgroup", False):
        pytest.skip("all tests run in one process")
    assert request.node.nodeid.endswith("@alone")
