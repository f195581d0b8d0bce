"""Files appear whole, over files only."""

import os
from pathlib import Path

import pytest

from config.files import require_replaceable, write_whole


def test_a_file_replaces_another_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    for content in (b"first", b"second"):
        write_whole(path, content)
        assert path.read_bytes() == content
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]


def test_a_pipe_and_a_device_stay_what_they_are(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="device or a pipe"):
        write_whole(pipe, b"content")
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]
    with pytest.raises(OSError, match="device or a pipe"):
        require_replaceable(Path("/dev/zero"))  # not by writing: a fault would take it away


def test_what_is_not_there_and_what_is_a_file_may_be_replaced(tmp_path: Path) -> None:
    require_replaceable(tmp_path / "new.csv")
    (tmp_path / "old.csv").touch()
    require_replaceable(tmp_path / "old.csv")
