"""The cache's line: there where one is wanted, and a warning where it would not help."""

from pathlib import Path
from typing import NamedTuple

import pytest

from config.cache import LEFT_FREE, Cache
from config.settings import Settings
from jobs.doctor import cache
from jobs.doctor.verdict import Night, State, Verdict


class Usage(NamedTuple):
    free: int


def asked(folder: Path, size: str = "10GB", images: int | None = None) -> Verdict:
    settings = Settings.model_validate({"cache_dir": folder, "cache_bytes": size})
    (found,) = cache.ask(Night(settings, images))
    return found


def test_nothing_is_said_where_none_is_wanted() -> None:
    assert list(cache.ask(Night(Settings(), 1_000))) == []


def test_how_full_it_is(tmp_path: Path) -> None:
    assert asked(tmp_path / "cache") == Verdict(
        "cache", State.OK, f"{tmp_path / 'cache'}: 0 MB of 10.0 GB are used"
    )
    Cache(tmp_path / "cache", 10**10).put("ab" * 32, bytes(5_000_000))
    assert "5 MB of 10.0 GB are used" in asked(tmp_path / "cache").seen


def test_an_archive_that_is_larger_would_gain_nothing(tmp_path: Path) -> None:
    found = asked(tmp_path, images=112_120)
    assert found.state is State.WARNING
    assert "112,120 images need about 41.5 GB" in found.seen
    assert "NIGHTREAD_CACHE_BYTES" in found.advice
    assert asked(tmp_path, "50GB", images=112_120).advice != found.advice


def test_a_disk_without_room_and_a_folder_that_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(LEFT_FREE + 3 * 10**8))
    assert asked(tmp_path, images=700).state is State.OK
    tight = asked(tmp_path, images=1_000)
    assert tight.state is State.WARNING
    assert "its disk has 300 MB for it" in tight.seen
    (tmp_path / "file").touch()
    refused = asked(tmp_path / "file" / "cache")
    assert refused.state is State.WARNING
    assert "cannot be written" in refused.seen
