"""The files of a tree, in an order that is the same every time; links are not followed."""

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from jobs.inventory.skips import Skip, Skipped
from jobs.tables.columns import ColumnError, check_image, plain_name


def walk(root: Path, own: Iterable[Path], progress: Callable[[int], None]) -> tuple[list[str], list[Skipped]]:
    """Find what lies below a folder: the names of files to look into, and what is passed over unseen.

    Names are relative to the root, with slashes, and sorted. Among what is passed over is a folder that may
    not be listed, and one of Nightread's `own`. `progress` is called with the number of files so far.
    """
    names: list[str] = []
    skipped: list[Skipped] = []
    folders = [""]
    base = os.path.realpath(root).rstrip("/")
    closed = {os.path.realpath(path) for path in own}
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(f"{base}/{folder}") as entries:
                found = [(f"{folder}{entry.name}", _kind(entry, base)) for entry in entries]
        except OSError:
            skipped.append(Skipped(folder, Skip.UNREADABLE))
            continue
        for name, kind in found:
            if kind == "folder" and f"{base}/{name}" in closed:
                skipped.append(Skipped(f"{name}/", Skip.NIGHTREADS_OWN))
            elif kind == "folder":
                folders.append(f"{name}/")
            elif reason := skip_of_name(name) if kind is None else kind:
                skipped.append(Skipped(name, Skip(reason)))
            else:
                names.append(name)
        progress(len(names))
    return sorted(names), skipped


def _kind(entry: os.DirEntry[str], root: str) -> str | None:
    """Return "folder", the reason why an entry is passed over unseen, or None for a file."""
    if entry.is_symlink():
        real = os.path.realpath(entry.path)
        return Skip.LINK if f"{real}/".startswith(f"{root}/") else Skip.OUTSIDE_ROOT
    if entry.is_dir(follow_symlinks=False):
        return "folder"
    try:
        is_file = stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode)
    except OSError:
        return Skip.UNREADABLE
    return None if is_file else Skip.NOT_A_FILE


def skip_of_name(name: str) -> Skip | None:
    """Return BAD_NAME where a manifest would not give a file's name back as it is."""
    try:
        check_image("", name)
        name.encode()
    except (ColumnError, UnicodeEncodeError):
        return Skip.BAD_NAME
    return None if plain_name(name) == name else Skip.BAD_NAME
