"""What Nightread writes: closed to the machine's other users where it makes the folder, and nowhere else.

That no invented name leads an overlay out of its run's folder, and that the report escapes what it shows, is
tested in tests/workers/outputs/test_overlays.py and tests/jobs/report/test_page.py.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from config.settings import Settings
from db.database import Database
from db.upgrade import upgrade
from jobs.dispatch.embedded import EmbeddedStack
from workers.outputs import overlays

NAMES = (
    "../../../../../escaped.png",
    "/escaped.png",
    "//escaped.png",
    "a/../../../escaped.png",
    "./../escaped.png",
    "..",
    "a\\..\\..\\escaped.png",
    "~/escaped.png",
    "$HOME/escaped.png",
    "-o.png",
    "a\nb.png",
)


@pytest.fixture(params=[0o022, 0o000], ids=["usual umask", "umask 0"])
def _umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_umask")
def test_the_folder_of_a_new_database_is_closed_to_others(tmp_path: Path) -> None:
    home = tmp_path / "nightread-home"
    database = Database(Settings(home=home).database)
    upgrade(database)
    database.dispose()
    assert (home / "nightread.db").is_file()
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


@pytest.mark.usefixtures("_umask")
def test_the_folder_of_a_new_queue_is_closed_to_others(tmp_path: Path) -> None:
    home = tmp_path / "nightread-home"
    with EmbeddedStack(Settings(home=home)):
        pass
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    home = tmp_path / "shared"
    home.mkdir()
    home.chmod(0o750)
    Database(Settings(home=home).database).dispose()
    assert stat.S_IMODE(home.stat().st_mode) == 0o750


@pytest.mark.parametrize("name", NAMES)
def test_an_overlay_is_written_below_the_heatmaps_folder_whatever_the_images_name(
    tmp_path: Path, name: str
) -> None:
    heatmaps = tmp_path / "a" / "b" / "heatmaps"
    (tmp_path / "beside").touch()
    before = set(tmp_path.rglob("*"))
    overlays.write_overlay(
        heatmaps / overlays.overlay_path(1, name, "Mass"), np.zeros((8, 8, 3), dtype=np.uint8)
    )
    made = set(tmp_path.rglob("*")) - before - {heatmaps, heatmaps.parent, heatmaps.parent.parent}
    assert any(path.is_file() for path in made)
    assert all(
        path.resolve().is_relative_to(heatmaps / "run-000001" / "Mass") for path in made if path.is_file()
    )
