"""The files of a tree, in an order that is the same every time; links are not followed."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from jobs.inventory.skips import Skip, Skipped
from jobs.tables.columns import ColumnError, check_image, plain_name

_SAY_EVERY: Final = 1_000


def walk(root: Path, progress: Callable[[int], None]) -> tuple[list[str], list[Skipped]]:
    """Find what lies below a folder: the names of files to look into, and what is passed over unseen.

    Names are relative to the root, with slashes, and sorted. A folder that may not be listed is one of those
    passed over. `progress` is called with the number of files so far.
    """
    names: list[str] = []
    skipped: list[Skipped] = []
    folders = [""]
    base = os.path.realpath(root)
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(os.path.join(base, folder)) as entries:  # noqa: PTH118  # a root of / stays one
                found = [(f"{folder}{entry.name}", _kind(entry, base)) for entry in entries]
        except OSError:
            skipped.append(Skipped(folder, Skip.UNREADABLE))
            continue
        for name, kind in found:
            if kind == "folder":
                folders.append(f"{name}/")
            elif reason := skip_of_name(name) if kind is None else kind:
                skipped.append(Skipped(name, Skip(reason)))
            else:
                names.append(name)
        if len(names) % _SAY_EVERY < len(found):
            progress(len(names))
    return sorted(names), skipped


def _kind(entry: os.DirEntry[str], root: str) -> str | None:
    """Return "folder", the reason why an entry is passed over unseen, or None for a file."""
    if entry.is_symlink():
        real = os.path.realpath(entry.path)
        return Skip.LINK if real == root or real.startswith(root.rstrip("/") + "/") else Skip.OUTSIDE_ROOT
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
