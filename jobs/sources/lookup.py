"""Looking a manifest's images up before the night begins: what is not there, and where it may be."""

import os
import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

_FEW: Final = 4
"""A folder of which a manifest names more files than this is listed; fewer are asked for one by one."""

_SAMPLE: Final = 3_000
"""Missing names that are looked for elsewhere."""

_SEARCH_SECONDS: Final = 2.0
UP: Final = 3
"""Folders above the root in which names are looked for."""
_MOST: Final = 0.9  # the share of the sample that makes a folder the right one


class Lookup(NamedTuple):
    """The names without an image below the root, and a sentence on what may be meant, blank if unknown.

    `twins`: pairs of names that lead to one file by links, each with the first of its file's names.
    """

    missing: list[str]
    hint: str
    twins: Sequence[tuple[str, str]] = ()


def look_up(root: Path, names: Collection[str]) -> Lookup:
    """Find the names under which there is no file or folder below `root`, by listing its folders."""
    found = _found(os.path.realpath(root), names)
    missing = [name for name in names if name not in found]
    return Lookup(missing, _hint(root, missing) if missing else "", _twins(found))


def _twins(found: Mapping[str, str]) -> list[tuple[str, str]]:
    first: dict[str, str] = {}
    return [(first[path], name) for name, path in found.items() if first.setdefault(path, name) != name]


def _found(root: str, names: Iterable[str]) -> dict[str, str]:
    """Return what is below the root: name -> path without links."""
    folders: dict[str, dict[str, str]] = defaultdict(dict)
    for name in names:
        folder, slash, file = name.rpartition("/")
        folders[folder or slash][file] = name
    found: dict[str, str] = {}
    for folder, files in folders.items():
        found |= {files[file]: path for file, path in _files(root, Path(root) / folder, files)}
    return found


def _files(root: str, path: Path, wanted: Collection[str]) -> Iterator[tuple[str, str]]:
    """Find the files of a folder that lie below the root; links are followed within it, as a reader does."""
    folder = _path_below(str(path), root)
    if folder is None:
        return
    if len(wanted) > _FEW:
        asked = set(wanted)
        try:
            with os.scandir(path) as entries:
                there = [(entry.name, entry.is_symlink()) for entry in entries if entry.name in asked]
        except OSError:  # not a folder, or one that may not be listed: its files are asked for one by one
            there = [(file, True) for file in wanted]
    else:
        there = [(file, True) for file in wanted]
    for file, link in there:
        real = _path_below(f"{path}/{file}", root) if link else f"{folder}/{file}"
        if real is not None:
            yield file, real


def _path_below(path: str, root: str) -> str | None:
    """Return a path with its links followed; None if there is nothing at it, or not below the root."""
    try:
        real = os.path.realpath(path, strict=True)
    except (OSError, ValueError):
        return None
    return real if real == root or real.startswith(root.rstrip("/") + "/") else None


# --- where they may be -------------------------------------------------------------------------------------


def _hint(root: Path, missing: list[str]) -> str:
    """Say which root would fit, where else the files are, or which name is near."""
    sample = sampled(missing)
    linked = sum((root / name).is_symlink() for name in sample)
    if linked > _MOST * len(sample):
        return (
            "they are links that lead out of the folder, or nowhere; name the folder of the files themselves"
        )
    for above in [*root.parents][:UP]:
        found = sum((above / name).exists() for name in sample)
        if found > _MOST * len(sample):
            return use_root(above, found, len(sample))
    try:
        files = [path.name for path in (root / sample[0]).parent.iterdir()]
    except OSError:
        files = []
    return found_below(root, sample, _walked(root)) or near(sample[0], files)


def sampled(missing: Sequence[str]) -> Sequence[str]:
    """Return the missing names that are looked for elsewhere."""
    return missing[:: -(-len(missing) // _SAMPLE)]


def use_root(root: object, found: int, of: int) -> str:
    """Say that another root fits."""
    return f"{found:,} of {of:,} are found below {root}: use --images {root}"


def _walked(root: Path) -> Iterator[str]:
    """Walk the files and folders below the root for a while, by their paths from there."""
    until = time.monotonic() + _SEARCH_SECONDS
    for folder, folders, files in os.walk(root):
        below = os.path.relpath(folder, root)
        yield from (f"{below}/{name}" for name in (*folders, *files))
        if time.monotonic() > until:
            return


def found_below(root: object, sample: Sequence[str], paths: Iterable[str]) -> str:
    """Say in which folders below the root most of a sample of names lie, by paths from there; else blank."""
    wanted: dict[str, list[str]] = defaultdict(list)
    for name in sample:
        wanted[name.rpartition("/")[2]].append(name)
    bases: Counter[str] = Counter()
    for path in paths:
        names = wanted.get(path.rpartition("/")[2], ())
        bases.update(path[: -len(name) - 1] for name in names if path.endswith(f"/{name}"))
    if not bases:
        return ""
    base, found = bases.most_common(1)[0]
    if found > _MOST * len(sample):
        return use_root(f"{root}/{base}", found, len(sample))
    if bases.total() > _MOST * len(sample):
        return (
            f"they lie in {len(bases)} folders below it, such as {base}; write the folder before each "
            "name in the manifest"
        )
    return ""


def near(name: str, files: Iterable[str]) -> str:
    """Name the file of a name's folder that differs from it only in case or in its ending; else blank."""
    file = Path(name).name
    stem = file.casefold()
    alike = sorted(other for other in files if stem in {other.casefold(), Path(other.casefold()).stem})
    if len(alike) != 1:
        return ""
    ending = alike[0].removeprefix(file) if alike[0].startswith(f"{file}.") else ""
    add = f"; --image-name '{{COLUMN}}{ending}' adds the ending to a column's names" if ending else ""
    return f"{name!r} is there as {alike[0]!r}{add}"
