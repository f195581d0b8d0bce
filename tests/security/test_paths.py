"""What a manifest may name: files below the images' folder and nothing else of the machine."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from config.failures import ImageUnusableError
from jobs.sources import objects
from jobs.sources.folder import FolderSource

INSIDE = b"inside"
OUTSIDE = b"outside"
LIMIT = 1_000
READS = 4_000

# Puts one link and then the other in the place of the first argument until it is ended.
_SWAPPER = """
import os, sys
place, *targets = sys.argv[1:]
print("ready", flush=True)
while True:
    for number, target in enumerate(targets):
        os.symlink(target, f"{place}.{number}")
        os.replace(f"{place}.{number}", place)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The images' folder, and beside it one whose file has the same name."""
    for name, content in (("images", INSIDE), ("elsewhere", OUTSIDE)):
        (tmp_path / name / "folder").mkdir(parents=True)
        (tmp_path / name / "folder" / "a.png").write_bytes(content)
    return tmp_path / "images"


def refusal(root: Path, image_index: str) -> str:
    with pytest.raises(ImageUnusableError) as caught:
        FolderSource(root).read(image_index, LIMIT)
    return caught.value.reason


@contextmanager
def swapped(place: Path, *targets: str | Path) -> Iterator[None]:
    """Have another process swap a link between targets for as long as the block lasts."""
    command = [sys.executable, "-c", _SWAPPER, str(place), *map(str, targets)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as swapper:
        try:
            assert swapper.stdout is not None
            assert swapper.stdout.readline() == b"ready\n"
            yield
        finally:
            swapper.kill()


def outcomes(root: Path, image_index: str, reads: int = READS) -> Counter[bytes | str]:
    """Read many times; what came of it and how often."""
    counted: Counter[bytes | str] = Counter()
    for _ in range(reads):
        try:
            counted[FolderSource(root).read(image_index, LIMIT).data] += 1
        except ImageUnusableError as error:
            counted[error.reason] += 1
    return counted


@pytest.mark.processes
@pytest.mark.parametrize(
    ("link", "inside", "outside"),
    [
        ("link.png", "folder/a.png", "../elsewhere/folder/a.png"),
        ("link", "folder", "../elsewhere/folder"),
        ("folder/up", "..", "../../elsewhere"),
    ],
    ids=["a file", "its folder", "a folder above"],
)
def test_a_link_that_is_swapped_while_it_is_read_never_gives_a_byte_from_outside(
    root: Path, link: str, inside: str, outside: str
) -> None:
    image = {"link.png": "link.png", "link": "link/a.png", "folder/up": "folder/up/folder/a.png"}[link]
    with swapped(root / link, inside, outside):
        counted = outcomes(root, image)
    assert OUTSIDE not in counted
    assert set(counted) <= {INSIDE, "outside_root", "missing", "unreadable"}
    # Both sides of the race were met.
    assert counted[INSIDE] > READS // 100, counted
    assert counted["outside_root"] > READS // 100, counted


@pytest.mark.processes
def test_a_folder_that_is_exchanged_for_a_link_is_not_followed_out(root: Path) -> None:
    exchange = "import os, sys\nprint('ready', flush=True)\nwhile True:\n" + "".join(
        f"    os.{step}\n"
        for step in (
            "rename('folder', 'away')",
            "symlink('../elsewhere/folder', 'folder')",
            "unlink('folder')",
            "rename('away', 'folder')",
        )
    )
    with subprocess.Popen([sys.executable, "-c", exchange], cwd=root, stdout=subprocess.PIPE) as swapper:
        try:
            assert swapper.stdout is not None
            assert swapper.stdout.readline() == b"ready\n"
            # One in 2,000 gets the other file open, and is refused by what the descriptor then leads to.
            counted = outcomes(root, "folder/a.png", 5 * READS)
        finally:
            swapper.kill()
    assert OUTSIDE not in counted
    assert counted[INSIDE] > READS // 100, counted
    assert counted["outside_root"] > READS // 100, counted


@pytest.mark.parametrize(
    "name",
    ["../elsewhere/folder/a.png", "folder/../../elsewhere/folder/a.png", "/etc/hostname", "//etc/hostname"],
)
def test_a_name_that_leads_out_is_refused(root: Path, name: str) -> None:
    assert refusal(root, name) == "outside_root"


def test_an_absolute_name_below_the_root_is_read(root: Path) -> None:
    assert FolderSource(root).read(str(root / "folder" / "a.png"), LIMIT).data == INSIDE


def test_links_are_followed_within_the_root_and_refused_where_they_leave_it(root: Path) -> None:
    (root / "within").symlink_to("folder", target_is_directory=True)
    (root / "out").symlink_to("../elsewhere/folder", target_is_directory=True)
    (root / "back").symlink_to(root / ".." / "elsewhere" / ".." / "images" / "folder")
    assert FolderSource(root).read("within/a.png", LIMIT).data == INSIDE
    assert FolderSource(root).read("back/a.png", LIMIT).data == INSIDE
    assert refusal(root, "out/a.png") == "outside_root"


def test_the_root_may_itself_be_a_link(root: Path) -> None:
    link = root.with_name("link-to-images")
    link.symlink_to(root, target_is_directory=True)
    assert FolderSource(link).read("folder/a.png", LIMIT).data == INSIDE
    assert refusal(link, "../elsewhere/folder/a.png") == "outside_root"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="there is no /proc on this system")
def test_what_the_worker_has_open_is_not_read_by_its_number(root: Path) -> None:
    with (root.parent / "elsewhere" / "folder" / "a.png").open("rb") as opened:
        number = f"/proc/self/fd/{opened.fileno()}"
        (root / "number.png").symlink_to(number)
        (root / "numbers").symlink_to("/proc/self/fd")
        for name in (number, "number.png", f"numbers/{opened.fileno()}", "../../../../../.." + number):
            assert refusal(root, name) in {"outside_root", "missing"}, name
        (root / "process").symlink_to("/proc/self/root")
        assert refusal(root, f"process{root.parent}/elsewhere/folder/a.png") == "outside_root"


def test_a_pipe_a_device_and_a_socket_are_refused_without_waiting(root: Path) -> None:
    import socket

    os.mkfifo(root / "pipe.png")
    (root / "null.png").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(root / "s"))
        assert refusal(root, "s") in {"unreadable", "not_a_file"}
    assert refusal(root, "pipe.png") == "not_a_file"
    assert refusal(root, "null.png") == "outside_root"
    assert refusal(root, "folder") == "not_a_file"


@pytest.mark.parametrize(
    "name",
    [
        "a\0.png",
        "folder/a.png\0",
        "\ud800.png",
        "x" * 5_000,
        "x/" * 5_000,
        "../" * 2_000 + "etc/hostname",
        "",
    ],
    ids=["NUL", "NUL at the end", "half a pair", "long", "deep", "far up", "empty"],
)
def test_a_name_that_no_file_has_is_a_failure_of_that_image_alone(root: Path, name: str) -> None:
    assert refusal(root, name) in {"missing", "outside_root", "not_a_file", "unreadable"}


OUTSIDE_BUCKET = [
    *("../elsewhere/a.png", "folder/../../elsewhere/a.png", "..", "a/..", "/a.png", "//a.png"),
    *("s3://other/images/a.png", "s3://films/images2/a.png", "s3://films/images/../a.png", "http://x/a.png"),
    *("../" * 300 + "a.png", "file:///etc/hostname"),
]
NO_KEY = [
    *("", ".", "./a.png", "a/./b.png", "a//b.png", "a/", "a\0.png", "a.png\0", "a\n.png", "a\x7f.png"),
    *("\ud800.png", "x" * 1_020, "é" * 520, "x/" * 600),
]


@pytest.mark.parametrize("name", OUTSIDE_BUCKET + NO_KEY)
def test_a_name_that_leads_out_of_a_prefix_or_that_no_object_has_is_not_asked_for(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*_: object) -> NoReturn:
        pytest.fail("the store was asked")

    monkeypatch.setattr(objects, "open_store", opened)
    with pytest.raises(ImageUnusableError) as caught:
        objects.ObjectSource("s3://films/images").read(name, LIMIT)
    assert caught.value.reason == ("outside_root" if name in OUTSIDE_BUCKET else "missing")


def test_a_file_is_not_read_beyond_the_limit(root: Path) -> None:
    (root / "large.png").write_bytes(b"x" * (LIMIT + 1))
    assert refusal(root, "large.png") == "too_large"
    with (root / "sparse.png").open("wb") as sparse:
        sparse.truncate(1 << 40)
    assert refusal(root, "sparse.png") == "too_large"
