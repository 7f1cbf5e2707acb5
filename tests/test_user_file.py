"""Classes in files of the user's own."""

import pytest

from orbiter.errors import ConfigError, UserCodeLoadError
from orbiter.user_file import load_from_file, looking_in


@pytest.fixture
def mine(tmp_path):
    """A folder with a class in a file."""
    (tmp_path / "mine.py").write_text("class Mine:\n    size = 1\n")
    return tmp_path


def test_a_class_is_the_same_one_on_a_second_look(mine):
    assert load_from_file("mine.py:Mine", base_dir=mine) is load_from_file(
        "mine.py:Mine", base_dir=mine
    )


def test_two_files_whose_paths_look_alike_are_two(tmp_path):
    for folder in ("a_b", "a/b", "a-b"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "mine.py").write_text(f"Mine = {folder!r}\n")
    for folder in ("a_b", "a/b", "a-b"):
        assert load_from_file("mine.py:Mine", base_dir=tmp_path / folder) == folder


def test_files_are_looked_for_where_the_block_says(mine):
    with looking_in(mine), looking_in(None):
        assert load_from_file("mine.py:Mine").size == 1
    with pytest.raises(ConfigError, match="does not exist"):
        load_from_file("mine.py:Mine")


def test_what_is_not_there_is_named(mine):
    with pytest.raises(ConfigError, match="has no 'Main'; did you mean 'Mine'"):
        load_from_file("mine.py:Main", base_dir=mine)
    with pytest.raises(ConfigError, match="does not exist"):
        load_from_file("other.py:Mine", base_dir=mine)


def test_file_that_raises_on_import_is_user_code(tmp_path):
    (tmp_path / "bad.py").write_text("1 / 0\n")
    with pytest.raises(UserCodeLoadError, match="ZeroDivisionError"):
        load_from_file("bad.py:X", base_dir=tmp_path)
