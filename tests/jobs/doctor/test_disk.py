"""Space for a night: what the images need against what is free, on each disk once."""

from pathlib import Path
from typing import NamedTuple

import pytest

from config.settings import Settings
from jobs.doctor import disk
from jobs.doctor.verdict import Night, State, Verdict


class Usage(NamedTuple):
    free: int


def asked(folder: Path, images: int | None, **others: Path) -> list[Verdict]:
    return list(disk.ask(Night(Settings.model_validate({"home": folder, **others}), images)))


def with_free(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: Usage(count))


def test_an_archive_that_no_disk_holds_is_a_fault_of_this_machines_own(tmp_path: Path) -> None:
    (found,) = asked(tmp_path, 10**12)
    assert found.state is State.FAULT
    assert "1,000,000,000,000 images need about" in found.seen
    assert "NIGHTREAD_HEATMAP_DIR" in found.advice


@pytest.mark.parametrize(
    ("free", "images", "state"),
    [
        (10**7, None, State.FAULT),
        (5 * 10**8, None, State.WARNING),
        (5 * 10**9, None, State.OK),
        (5 * 10**9, 100, State.OK),
        (100_000 * (disk.ROW_BYTES + disk.OVERLAY_BYTES) - 1, 100_000, State.FAULT),
        (100_000 * (disk.ROW_BYTES + disk.OVERLAY_BYTES) + 1, 100_000, State.WARNING),
        (200_000 * (disk.ROW_BYTES + disk.OVERLAY_BYTES), 100_000, State.OK),
    ],
)
def test_what_is_free_is_weighed_against_the_images_and_a_least(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, images: int | None, state: State
) -> None:
    with_free(monkeypatch, free)
    (found,) = asked(tmp_path, images)
    assert found.state is state
    assert bool(found.advice) is (state is not State.OK)


def test_each_disk_has_a_line_for_what_lies_on_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with_free(monkeypatch, 1_000_000_000_000)
    home, overlays = asked(tmp_path, 100_000, heatmap_dir=Path("/dev/shm"))  # noqa: S108  # another disk than /tmp
    assert str(tmp_path) in home.seen
    assert "/dev/shm" in overlays.seen  # noqa: S108
