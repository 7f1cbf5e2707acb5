import pytest
from orbiter_liveweb.synthetic import build

from orbiter.errors import ConfigError


def test_two_synthetic_webs_are_not_mixed(own_web, cache, page):
    assert build(own_web.folder).urls() == own_web.urls()  # the same again
    cache.put(page())
    with pytest.raises(ConfigError, match="holds pages that are not of this synthetic web"):
        build(cache.folder)
    assert cache.urls() == ["https://a.example/"]
