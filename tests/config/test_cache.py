"""A cache is bounded, forgets what was not used for longest, and costs nobody more than itself."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import pytest
from storm.disks import disk, fill

from config import cache as module
from config.cache import LEFT_FREE, Cache

BLOCK = 4096


def key(number: int) -> str:
    return f"{number % 256:02x}{number:062x}"


def cache_in(folder: Path, blocks: int) -> Cache:
    return Cache(folder, blocks * BLOCK)


def kept(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("prepared/??/*") if path.is_file())


def bytes_of(folder: Path) -> int:
    return sum(-(-path.stat().st_size // BLOCK) * BLOCK for path in kept(folder))


def use(folder: Path, number: int, age: int) -> None:
    """Put a file's last use into the past."""
    path = folder / "prepared" / key(number)[:2] / key(number)[2:]
    seconds = 1_700_000_000 - age
    os.utime(path, (seconds, seconds))


def test_what_is_put_is_got_and_the_last_one_counts(tmp_path: Path) -> None:
    cache = cache_in(tmp_path, 100)
    assert cache.get(key(1)) is None
    assert cache.used() is None
    cache.put(key(1), b"one")
    cache.put(key(1), b"another" * BLOCK)
    cache.put(key(2), b"two")
    assert (cache.get(key(1)), cache.get(key(2))) == (b"another" * BLOCK, b"two")
    assert cache.used() == bytes_of(tmp_path) == 8 * BLOCK


def test_who_goes_beyond_the_bound_takes_away_what_was_not_used_for_longest(tmp_path: Path) -> None:
    cache = cache_in(tmp_path, 10)
    for number in range(10):
        cache.put(key(number), b"x")
        use(tmp_path, number, 100 - number)
    assert cache.get(key(0)) == b"x", "used now, which it was not for longest"
    cache.put(key(10), b"x")
    there = {number for number in range(11) if cache.get(key(number)) is not None}
    assert there == {0, *range(3, 11)}
    assert cache.used() == bytes_of(tmp_path) == 9 * BLOCK


def test_a_folder_that_is_read_only_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = cache_in(tmp_path, 10)
    cache.put(key(1), b"x")

    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "utime", refused)
    assert cache.get(key(1)) == b"x"


def test_nothing_else_in_the_folder_is_counted_or_taken_away(tmp_path: Path) -> None:
    (tmp_path / "ab").mkdir()
    own = [tmp_path / "ab" / "report.csv", tmp_path / "notes.txt"]
    for path in own:
        path.write_bytes(bytes(20 * BLOCK))
        os.utime(path, (0, 0))
    cache = cache_in(tmp_path, 5)
    for number in range(40):
        cache.put(key(number), b"x")
    assert all(path.exists() for path in own)
    assert 0 < bytes_of(tmp_path) <= 5 * BLOCK


def test_a_count_that_is_lost_is_made_again(tmp_path: Path) -> None:
    cache = cache_in(tmp_path, 10)
    for number in range(10):
        cache.put(key(number), b"x")
        use(tmp_path, number, 100 - number)
    for damage in (b"", b"no number"):
        (tmp_path / "prepared" / "bytes").write_bytes(damage)
        cache.put(key(3), b"y")
        assert cache.used() == bytes_of(tmp_path) == 10 * BLOCK


@pytest.mark.processes
def test_half_a_file_of_a_killed_process_is_read_by_nobody_and_goes_with_the_others(tmp_path: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from config import files
from config.cache import Cache

def killed(path, content):
    with path.open("wb") as file:
        file.write(content[: len(content) // 2])
        file.flush()
        os.kill(os.getpid(), 9)

files.Path.write_bytes = killed
Cache(Path(sys.argv[1]), 40960).put(sys.argv[2], b"x" * 8000)
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path, key(1)], check=False)
    assert done.returncode == -9
    cache = cache_in(tmp_path, 10)
    assert cache.get(key(1)) is None
    (half,) = kept(tmp_path)
    assert half.name.startswith(".")
    os.utime(half, (0, 0))
    for number in range(20):
        cache.put(key(number), b"x")
    assert not half.exists()
    assert bytes_of(tmp_path) <= 10 * BLOCK


def test_one_file_that_is_larger_than_all_may_be_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = cache_in(tmp_path, 2)
    with caplog.at_level(logging.WARNING):
        cache.put(key(1), bytes(3 * BLOCK))
    assert cache.get(key(1)) is None
    assert cache.used() == 0
    assert "no picture fits into 8,192 bytes" in caplog.text


def test_a_folder_that_cannot_be_made_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    cache = cache_in(tmp_path / "file", 10)
    with caplog.at_level(logging.WARNING):
        for number in range(3):
            cache.put(key(number), b"x")
            assert cache.get(key(number)) is None
    (said,) = caplog.records
    assert "Not a directory" in said.message


class Usage(NamedTuple):
    free: int


def test_a_disk_that_others_fill_gets_its_space_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cache = cache_in(tmp_path, 1000)
    for number in range(50):
        cache.put(key(number), b"x")
        use(tmp_path, number, 1000 - number)
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(LEFT_FREE - 30 * BLOCK))
    cache.put(key(50), b"x")
    assert cache.used() == bytes_of(tmp_path) <= 20 * BLOCK
    assert cache.get(key(50)) == b"x"
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(LEFT_FREE - 90 * BLOCK))
    with caplog.at_level(logging.WARNING):
        for number in range(51, 60):
            cache.put(key(number), b"x")
    assert cache.used() == bytes_of(tmp_path) == 0
    (said,) = caplog.records
    assert "less than 1 GiB of its disk is free" in said.message


@pytest.fixture
def full_disk() -> Iterator[Path]:
    with disk("256k") as folder:
        yield folder


def test_a_full_disk_is_said_once_and_what_is_there_is_read(
    full_disk: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "LEFT_FREE", -(1 << 40))  # as if there were plenty
    cache = cache_in(full_disk, 1000)
    cache.put(key(1), b"x")
    fill(full_disk)
    with caplog.at_level(logging.WARNING):
        for number in range(2, 6):
            cache.put(key(number), bytes(BLOCK))
    assert cache.get(key(1)) == b"x"
    assert [cache.get(key(number)) for number in range(2, 6)] == [None] * 4
    (said,) = caplog.records
    assert "No space left on device" in said.message
    assert len(kept(full_disk)) == 1


def _work(folder: Path, start: int) -> int:
    cache = cache_in(folder, 60)
    wrong = 0
    for number in range(300):
        cache.put(key(start + number % 100), f"{start + number % 100}".encode() * 100)
        found = cache.get(key(start + number % 100))
        wrong += found not in {None, f"{start + number % 100}".encode() * 100}
    return wrong


@pytest.mark.processes
def test_several_processes_share_a_folder_and_its_bound(tmp_path: Path) -> None:
    with get_context("spawn").Pool(3) as pool:
        wrong = pool.starmap(_work, [(tmp_path, 0), (tmp_path, 50), (tmp_path, 200)])
    assert wrong == [0, 0, 0]
    assert 0 < bytes_of(tmp_path) <= 60 * BLOCK
    # What one counts while another takes away can be counted twice until the next time.
    used = cache_in(tmp_path, 60).used()
    assert used is not None
    assert abs(used - bytes_of(tmp_path)) <= 3 * BLOCK
