import errno
import os
import resource
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orbiter.errors import LedgerError
from orbiter.ledger.journal import DiskFile, Journal


def opened(path: Path, file=None) -> tuple[Journal, list[bytes]]:
    journal = Journal(path, file=file)
    return journal, list(journal.recover())


class MemoryFile:
    """A file that remembers what was synced, and fails when it is told to.

    ``fail_at`` counts calls of append, sync and truncate together; the failing append takes ``takes`` bytes first.
    """

    def __init__(self, *, fail_at: int | None = None, takes: int = 0, slice_size: int = 1 << 30):
        self.data = bytearray()
        self.synced = b""
        self.calls: list[str] = []
        self.fail_at, self.takes, self.slice_size = fail_at, takes, slice_size

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if len(self.calls) - 1 == self.fail_at:
            raise OSError(errno.ENOSPC, "No space left on device")

    def append(self, data: memoryview) -> int:
        try:
            self._call("append")
        except OSError:
            self.data += data[: self.takes]
            raise
        taken = data[: self.slice_size]
        self.data += taken
        return len(taken)

    def sync(self) -> None:
        self._call("sync")
        self.synced = bytes(self.data)

    def truncate(self, size: int) -> None:
        self._call("truncate")
        del self.data[size:]

    def read(self, offset: int, size: int) -> bytes:
        return bytes(self.data[offset : offset + size])

    def close(self) -> None:
        pass


def test_lines_come_back_by_number_and_in_order(tmp_path):
    journal, before = opened(tmp_path / "a.jsonl")
    assert before == []
    assert journal.append([b"one", b"two"]) == range(1, 3)
    assert journal.append([b"three"]) == range(3, 4)
    assert [journal.line(n) for n in (3, 1, 2)] == [b"three", b"one", b"two"]
    journal.close()
    again, lines = opened(tmp_path / "a.jsonl")
    assert lines == [b"one", b"two", b"three"]
    assert (len(again), again.size, again.torn) == (3, 14, 0)
    again.close()


def test_the_last_line_cut_at_every_byte_is_dropped_and_the_rest_kept(tmp_path):
    whole = b'{"a":1}\n{"b":"\xc3\xa9\\n"}\n'
    first = whole.index(b"\n") + 1
    for size in range(first, len(whole)):
        path = tmp_path / f"{size}.jsonl"
        path.write_bytes(whole[:size])
        journal, lines = opened(path)
        assert lines == [b'{"a":1}']
        assert (journal.torn, journal.torn_line) == (size - first, 2)
        journal.append([b"next"])
        journal.close()
        assert path.read_bytes() == b'{"a":1}\nnext\n'


def test_a_read_only_journal_leaves_the_torn_line_alone(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"one\ntw")
    journal = Journal(path, read_only=True)
    assert list(journal.recover()) == [b"one"]
    assert journal.torn == 2
    journal.close()
    assert path.read_bytes() == b"one\ntw"


def test_a_limit_hides_what_was_written_later(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"one\ntwo\nthree\n")
    journal = Journal(path, read_only=True, limit=9)
    assert list(journal.recover()) == [b"one", b"two"]
    journal.close()


def test_lines_longer_than_a_chunk_are_whole(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = [b"x" * 3_000_000, b"y", b"z" * 1_500_000]
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    journal, found = opened(path)
    assert found == lines
    assert journal.line(3) == lines[2]
    journal.close()


@settings(max_examples=60, deadline=None)
@given(
    groups=st.lists(
        st.lists(st.binary(max_size=6).map(lambda b: b.hex().encode()), min_size=1, max_size=3),
        min_size=1,
        max_size=4,
    ),
    fail_at=st.integers(0, 9),
    takes=st.integers(0, 40),
    slice_size=st.integers(1, 20),
)
def test_a_failure_at_any_call_loses_nothing_committed_and_leaves_no_half_line(
    groups, fail_at, takes, slice_size
):
    file = MemoryFile(fail_at=fail_at, takes=takes, slice_size=slice_size)
    try:
        journal, _ = opened(Path("a.jsonl"), file)
    except OSError:
        assert file.data == b""
        return
    committed: list[bytes] = []
    for group in groups:
        try:
            journal.append(group)
        except LedgerError:
            continue
        committed += group
    assert [journal.line(n + 1) for n in range(len(journal))] == committed
    text = b"".join(line + b"\n" for line in committed)
    assert bytes(file.data) == text
    assert file.synced.startswith(text)


@settings(max_examples=40, deadline=None)
@given(fail_at=st.integers(1, 5), takes=st.integers(0, 12))
def test_a_disk_that_fails_for_good_loses_nothing_committed(fail_at, takes):
    class DyingFile(MemoryFile):
        def _call(self, name: str) -> None:
            self.calls.append(name)
            if len(self.calls) > fail_at:
                raise OSError(errno.EIO, "Input/output error")

    file = DyingFile(takes=takes)
    journal, _ = opened(Path("a.jsonl"), file)
    committed = []
    for group in ([b"one"], [b"two"], [b"three"]):
        try:
            journal.append(group)
        except LedgerError:
            continue
        committed += group
    again, lines = opened(Path("a.jsonl"), MemoryFileFrom(file.data))
    assert lines[: len(committed)] == committed
    again.append([b"next"])
    assert again.line(len(again)) == b"next"


def MemoryFileFrom(data: bytes) -> MemoryFile:
    file = MemoryFile()
    file.data = bytearray(data)
    return file


@settings(max_examples=40, deadline=None)
@given(
    committed=st.lists(st.just(b'{"a":1}'), max_size=3),
    group=st.lists(st.sampled_from([b'{"b":2}', b'{"c":[3,4]}']), min_size=1, max_size=3),
)
def test_every_prefix_of_an_unsynced_group_recovers_to_whole_lines(committed, group):
    safe = b"".join(line + b"\n" for line in committed)
    unsynced = b"".join(line + b"\n" for line in group)
    for size in range(len(unsynced) + 1):
        journal, lines = opened(Path("a.jsonl"), MemoryFileFrom(safe + unsynced[:size]))
        assert lines == committed + group[: unsynced[:size].count(b"\n")]
        journal.append([b"next"])
        assert journal.line(len(journal)) == b"next"


def test_a_sync_that_fails_closes_the_journal_to_writing():
    # calls: sync (recover), append, sync (fails), truncate, sync
    file = MemoryFile(fail_at=2)
    journal, _ = opened(Path("a.jsonl"), file)
    with pytest.raises(LedgerError, match="cannot be written: No space left on device"):
        journal.append([b"one"])
    assert bytes(file.data) == b""
    with pytest.raises(LedgerError) as caught:
        journal.append([b"two"])
    assert caught.value.message == (
        "a.jsonl takes no more lines, since the disk did not confirm a write (No space left on device)"
    )


def test_half_a_write_that_cannot_be_cut_off_closes_the_journal_to_writing():
    class StuckFile(MemoryFile):
        stuck = True

        def append(self, data: memoryview) -> int:
            self.fail_at = len(self.calls) if self.stuck else None
            return super().append(data)

        def truncate(self, size: int) -> None:
            if self.stuck:
                raise OSError(errno.EIO, "Input/output error")
            super().truncate(size)

    file = StuckFile(takes=2)
    journal, _ = opened(Path("a.jsonl"), file)
    with pytest.raises(LedgerError, match="cannot be written: No space left on device"):
        journal.append([b"one"])
    file.stuck = False
    with pytest.raises(LedgerError) as caught:
        journal.append([b"two"])
    assert caught.value.message == (
        "a.jsonl takes no more lines, since half a write could not be cut off (Input/output error)"
    )
    again, lines = opened(Path("a.jsonl"), file)
    assert (lines, again.torn, bytes(file.data)) == ([], 2, b"")


def test_a_full_disk_by_file_size_limit_cuts_back_and_goes_on_when_there_is_space(tmp_path):
    journal, _ = opened(tmp_path / "a.jsonl")
    journal.append([b"x" * 99])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150, hard))
    try:
        with pytest.raises(LedgerError) as caught:
            journal.append([b"y" * 99])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.message == (
        f"{tmp_path}/a.jsonl cannot be written: File too large (1 lines, 100 bytes); the 1 lines committed before are safe"
    )
    assert (tmp_path / "a.jsonl").read_bytes() == b"x" * 99 + b"\n"
    journal.append([b"z"])
    journal.close()
    assert (tmp_path / "a.jsonl").read_bytes() == b"x" * 99 + b"\nz\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_device_that_is_always_full_says_so():
    class FullFile(DiskFile):
        def read(self, offset: int, size: int) -> bytes:
            return b""  # /dev/full reads as zeros without end

        def truncate(self, size: int) -> None:
            pass

        def sync(self) -> None:
            pass

    file = FullFile(Path("/dev/full"))
    journal, _ = opened(Path("/dev/full"), file)
    with pytest.raises(LedgerError, match="full cannot be written: No space left on device"):
        journal.append([b"one"])
    assert len(journal) == 0
    journal.close()


def test_a_file_that_was_changed_under_an_open_journal_is_noticed(tmp_path):
    path = tmp_path / "a.jsonl"
    journal, _ = opened(path)
    journal.append([b"one", b"two"])
    os.truncate(path, 6)
    with pytest.raises(LedgerError, match=r"a\.jsonl line 2 is no longer where it was"):
        journal.line(2)
    journal.close()
