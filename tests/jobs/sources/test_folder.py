"""A folder's images are read below it and nowhere else, and what cannot be read says why."""

import errno
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import READ_REASONS

from config.failures import ImageUnusableError, Reason
from jobs.errors import SourceAwayError, SourceError
from jobs.sources.folder import FolderSource
from jobs.sources.source import ImageSource, open_source

CONTENT = b"content of an image"
LIMIT = 1_000


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A root with one file and, beside it, one that is none of its business."""
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "good.png").write_bytes(CONTENT)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret.png").write_bytes(CONTENT)
    return folder


def refusal(root: Path, name: str) -> Reason:
    with pytest.raises(ImageUnusableError) as caught:
        FolderSource(root).read(name, LIMIT)
    assert caught.value.message
    return caught.value.reason


def test_a_root_is_the_same_as_a_path_and_as_a_uri(images: Path) -> None:
    sources: list[ImageSource] = [
        FolderSource(images),
        open_source(str(images)),
        open_source(f"file://{images}"),
    ]
    assert {source.root for source in sources} == {str(images)}
    assert all(source.read("good.png", LIMIT).data == CONTENT for source in sources)


def test_a_root_that_is_named_from_where_one_stands_is_kept_as_absolute(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(images.parent)
    assert FolderSource("images").root == str(images)


def test_a_root_that_is_no_folder_is_refused_before_anything_is_read(images: Path) -> None:
    FolderSource(images).require()
    for root in (images / "absent", images / "good.png"):
        with pytest.raises(SourceError, match=str(root)):
            FolderSource(root).require()


def test_a_root_of_an_unknown_kind_is_refused_with_those_there_are() -> None:
    with pytest.raises(SourceError, match=r"gopher://.*file://"):
        open_source("gopher://host/images")


def test_file_of_more_bytes_than_allowed_is_not_read(images: Path) -> None:
    with pytest.raises(ImageUnusableError) as caught:
        FolderSource(images).read("good.png", len(CONTENT) - 1)
    assert caught.value.reason == Reason.TOO_LARGE
    assert FolderSource(images).read("good.png", len(CONTENT)).data == CONTENT


def test_the_tag_is_known_without_reading_and_is_that_of_reading(images: Path) -> None:
    source = FolderSource(images)
    (images / "empty.png").touch()
    tag = source.tag("good.png")
    assert tag == source.read("good.png", LIMIT).tag
    assert [source.tag(name) for name in ("absent.png", "empty.png", "../elsewhere/secret.png")] == [None] * 3
    os.utime(images / "good.png", ns=(0, 1))
    assert source.tag("good.png") not in {tag, None}


def test_picture_in_a_folder_below_the_root_is_read(images: Path) -> None:
    (images / "a" / "b").mkdir(parents=True)
    (images / "a" / "b" / "deep.png").write_bytes(CONTENT)
    assert FolderSource(images).read("a/b/deep.png", LIMIT).data == CONTENT


def test_a_folder_stands_for_the_files_below_it_and_a_file_for_itself(images: Path) -> None:
    for name in ("p1/flair/2.dcm", "p1/flair/1.dcm", "p1/flair/more/0.dcm", "p1/t1/9.dcm"):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).write_bytes(CONTENT)
    (images / "linked").symlink_to(images / "p1" / "flair")
    (images / "p1" / "flair" / "all").symlink_to(images)
    source = FolderSource(images)
    assert source.parts("p1/flair") == ["p1/flair/1.dcm", "p1/flair/2.dcm", "p1/flair/more/0.dcm"]
    assert source.parts("linked") == ["linked/1.dcm", "linked/2.dcm", "linked/more/0.dcm"]
    assert all(source.read(part, LIMIT).data == CONTENT for part in source.parts("linked"))
    for name in ("good.png", "absent", "..", "../elsewhere", "/etc", "nul\0", "x" * 300):
        assert source.parts(name) == (name,)


def test_a_folder_without_a_file_or_with_too_many_is_refused(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (images / "p1" / "empty").mkdir(parents=True)
    with pytest.raises(ImageUnusableError) as caught:
        FolderSource(images).parts("p1/empty")
    assert caught.value.reason is Reason.EMPTY
    for number in range(4):
        (images / "p1" / f"{number}.dcm").write_bytes(CONTENT)
    monkeypatch.setattr("jobs.sources.parts.MOST_PARTS", 3)
    with pytest.raises(ImageUnusableError, match="more than 3 files") as caught:
        FolderSource(images).parts("p1")
    assert caught.value.reason is Reason.TOO_LARGE


def test_a_folder_that_may_not_be_listed_is_unreadable_and_one_that_is_away_is_waited_for(
    images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (images / "p1").mkdir()
    for number, kind in ((errno.EACCES, ImageUnusableError), (errno.ESTALE, SourceAwayError)):

        def walk(path: Path, onerror: Callable[[OSError], None], number: int = number) -> list[str]:
            onerror(OSError(number, "told"))
            return [str(path)]

        monkeypatch.setattr("jobs.sources.folder.os.walk", walk)
        with pytest.raises(kind, match="told"):
            FolderSource(images).parts("p1")


def test_missing_file_is_missing(images: Path) -> None:
    assert refusal(images, "absent.png") == "missing"
    assert refusal(images, "absent/absent.png") == "missing"
    assert refusal(images, "good.png/absent.png") == "missing"


@pytest.mark.parametrize("name", ["nul\0.png", "x" * 300, "a/" * 3000 + "deep.png", "half\ud800.png"])
def test_name_that_no_file_can_have_is_missing(images: Path, name: str) -> None:
    assert refusal(images, name) == "missing"


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "../" * 40 + "etc/passwd", "/etc/passwd", "..", "../elsewhere/secret.png"]
)
def test_path_that_leaves_the_root_is_refused(images: Path, name: str) -> None:
    assert refusal(images, name) == "outside_root"


def test_folder_whose_name_begins_like_the_root_lies_outside(images: Path) -> None:
    (images.parent / "images-2").mkdir()
    (images.parent / "images-2" / "secret.png").write_bytes(CONTENT)
    assert refusal(images, "../images-2/secret.png") == "outside_root"


def test_link_that_leaves_the_root_is_refused(images: Path) -> None:
    (images / "link.png").symlink_to(images.parent / "elsewhere" / "secret.png")
    (images / "linked").symlink_to(images.parent / "elsewhere")
    (images / "relative.png").symlink_to("../elsewhere/secret.png")
    assert refusal(images, "link.png") == "outside_root"
    assert refusal(images, "linked/secret.png") == "outside_root"
    assert refusal(images, "relative.png") == "outside_root"


def test_link_within_the_root_is_followed(images: Path) -> None:
    (images / "link.png").symlink_to("good.png")
    (images / "folder").symlink_to(images)
    assert FolderSource(images).read("link.png", LIMIT).data == CONTENT
    assert FolderSource(images).read("folder/good.png", LIMIT).data == CONTENT


def test_root_may_itself_be_a_link(images: Path) -> None:
    link = images.parent / "archive"
    link.symlink_to(images)
    assert FolderSource(link).read("good.png", LIMIT).data == CONTENT
    assert refusal(link, "../elsewhere/secret.png") == "outside_root"


def test_link_to_itself_is_unreadable(images: Path) -> None:
    (images / "loop.png").symlink_to("loop.png")
    assert refusal(images, "loop.png") == "unreadable"


@pytest.mark.parametrize("name", ["folder.png", "", "."])
def test_folder_is_not_a_file(images: Path, name: str) -> None:
    (images / "folder.png").mkdir()
    assert refusal(images, name) == "not_a_file"


@pytest.mark.timeout(20)
def test_named_pipe_is_not_waited_for(images: Path) -> None:
    os.mkfifo(images / "pipe.png")
    assert refusal(images, "pipe.png") == "not_a_file"


def test_empty_file_is_empty(images: Path) -> None:
    (images / "empty.png").touch()
    assert refusal(images, "empty.png") == "empty"


def test_refused_files_are_closed(images: Path) -> None:
    (images / "empty.png").touch()
    (images / "folder.png").mkdir()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for name in ("empty.png", "folder.png", "good.png"):
        for _ in range(10):
            with suppress(ImageUnusableError):
                FolderSource(images).read(name, LIMIT)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@contextmanager
def _as_nobody() -> Iterator[None]:
    """Take another user's rights for a while: no permission stops root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_file_without_the_right_to_read_it_is_unreadable() -> None:
    # pytest's own folders are closed to other users, so that those would be what cannot be read.
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "closed.png").write_bytes(CONTENT)
        (folder / "open.png").write_bytes(CONTENT)
        (folder / "closed.png").chmod(0o000)
        (folder / "open.png").chmod(0o444)
        with _as_nobody():
            assert FolderSource(folder).read("open.png", LIMIT).data == CONTENT
            assert refusal(folder, "closed.png") == "unreadable"


@given(name=st.text(max_size=60) | st.lists(st.sampled_from(["..", ".", "a", "/", "\0", ""])).map("/".join))
@settings(max_examples=200, deadline=None)
def test_any_name_in_an_empty_folder_is_refused_with_a_reason(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert refusal(Path(folder), name) in READ_REASONS


def test_a_folder_that_is_gone_is_no_images_fault(images: Path) -> None:
    source = FolderSource(images)
    assert refusal(images, "absent.png") is Reason.MISSING
    images.rename(images.with_name("away"))
    with pytest.raises(SourceAwayError, match="is not there now"):
        source.read("good.png", LIMIT)


@pytest.mark.parametrize("number", [errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN, errno.EMFILE])
def test_a_share_whose_server_is_gone_is_no_images_fault(
    images: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def gone(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", gone)
    with pytest.raises(SourceAwayError, match=re.escape(os.strerror(number))):
        FolderSource(images).read("good.png", LIMIT)
