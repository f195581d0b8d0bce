"""What is seen of an order's images before the night begins, at the size of a real archive."""

import resource
from pathlib import Path

import pytest
from support import STUB_CARD, Nightread, write_card, write_manifest

from config.cards.stub import StubCard

IMAGES = 112_120
CPU_SECONDS = 5.0


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.processes
def test_a_wrong_root_of_a_whole_archive_is_told_in_seconds_with_the_right_one(
    nightread: Nightread, tmp_path: Path
) -> None:
    manifest = write_manifest(tmp_path / "manifest.csv", IMAGES)
    right = tmp_path / "archive" / "images"
    right.mkdir(parents=True)
    for number in range(IMAGES):
        (right / f"{number:08d}_000.png").touch()
    taken: list[float] = []
    while len(taken) < 3 and min(taken, default=CPU_SECONDS) >= CPU_SECONDS:  # a busy core counts double
        before = cpu_seconds()
        done = nightread.run("score", manifest, "--images", tmp_path / "archive")
        taken.append(cpu_seconds() - before)
        assert done.returncode == 2, done.stderr
        assert "112,120 of 112,120 images are not below" in done.stderr
        assert f"use --images {right}." in done.stderr
    assert min(taken) < CPU_SECONDS
    assert nightread.sql("SELECT run_id FROM progress") == []


@pytest.fixture
def looking(home: Path, monkeypatch: pytest.MonkeyPatch) -> Nightread:
    """The command within this process, with a stub model whose images are looked up as a network's are."""
    monkeypatch.setattr(StubCard, "reads_images", True)
    write_card(home / "models", STUB_CARD)
    return Nightread(home)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    for name in ("images_001/a.png", "b.png", "c.png", "d.png", "UP.PNG"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"a picture of its own: " + name.encode())
    (folder / "link.png").symlink_to(folder / "b.png")
    return folder


def submitted(looking: Nightread, archive: Path, *names: str) -> str:
    """Submit a manifest of these names; returns what is said, the exit code first."""
    manifest = archive.parent / "m.csv"
    manifest.write_text("".join(f"{name}\n" for name in ("Image", *names)), encoding="utf-8")
    done = looking.call("submit", manifest, "--images", archive, "--model", "stub")
    looking.end()
    return f"{done.returncode}: {done.stderr}"


def test_names_as_other_systems_write_them_are_resolved(looking: Nightread, archive: Path) -> None:
    said = submitted(looking, archive, "images_001\\a.png", "b.png ", f"{archive}/c.png", "./d.png")
    assert said.startswith("0: ")
    assert "4, taken as relative paths" in said
    assert "not below" not in said


@pytest.mark.parametrize(("name", "file"), [("b", "b.png"), ("up.png", "UP.PNG")])
def test_names_that_only_resemble_a_files_are_said_with_it_before_anything_is_written(
    looking: Nightread, archive: Path, name: str, file: str
) -> None:
    said = submitted(looking, archive, "c.png", name)
    assert said.startswith("2: ")
    assert f"'{name}' is there as '{file}'" in said


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("./b.png", "line 3, column 'Image': image 'b.png' was already on line 2"),
        ("{archive}/b.png", "line 3, column 'Image': image 'b.png' was already on line 2"),
        (
            "link.png",
            "lead by links to other images of the manifest: 'link.png' is 'b.png'. Keep one name of each",
        ),
    ],
)
def test_one_file_under_two_names_is_refused_with_both(
    looking: Nightread, archive: Path, name: str, words: str
) -> None:
    said = submitted(looking, archive, "b.png", name.format(archive=archive))
    assert said.startswith("2: ")
    assert words in said
