"""One small synthetic web for all tests, and the Chromium of this machine."""

from __future__ import annotations

import shutil

import pytest
from orbiter_liveweb.cache import Cache
from orbiter_liveweb.synthetic import build
from orbiter_liveweb.teacher import TeacherGenerator


@pytest.fixture(scope="session")
def web(tmp_path_factory) -> Cache:
    """The small synthetic web; not to be changed."""
    return build(tmp_path_factory.mktemp("liveweb") / "web")


@pytest.fixture(scope="session")
def teacher(web) -> TeacherGenerator:
    """A teacher of the synthetic web."""
    return TeacherGenerator(web)


@pytest.fixture
def own_web(web, tmp_path) -> Cache:
    """A copy of the synthetic web, to be damaged."""
    shutil.copytree(web.folder, tmp_path / "web")
    return Cache(tmp_path / "web")


@pytest.fixture(scope="module")
def chromium():
    """A headless Chromium."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    from orbiter_liveweb.chromium import chromium_path, launched

    from orbiter.errors import MissingPluginError

    try:
        chromium_path()
    except MissingPluginError as error:
        pytest.skip(error.message)
    with launched() as browser:
        yield browser
