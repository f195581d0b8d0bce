"""Small disks that can be full."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def disk(size: str) -> Iterator[Path]:
    """Give a disk of its own, as small as named; the test is skipped where none may be mounted."""
    folder = Path(tempfile.mkdtemp(prefix="nightread-disk-"))
    if refused := mounted(folder, size):
        pytest.skip(refused)
    try:
        yield folder
    finally:
        unmount(folder)
        folder.rmdir()


def mounted(folder: Path, size: str) -> str | None:
    """Mount a disk of its own on a folder, as small as named; returns why that may not be, or None."""
    options = ["mount", "-t", "tmpfs", "-o", f"size={size}", "nightread-disk", str(folder)]
    try:
        done = subprocess.run(options, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "there is no program `mount`"
    return f"no disk may be mounted here: {done.stderr.strip()}" if done.returncode else None


def unmount(folder: Path) -> None:
    """Take the disk away, lazily: a test that failed may have left a process there."""
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave no space on a disk; returns the file that takes it."""
    filler = folder / "filler"
    with suppress(OSError), filler.open("ab", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return filler
