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
_UP: Final = 3  # folders above the root in which names are looked for
_MOST: Final = 0.9  # the share of the sample that makes a folder the right one


class Lookup(NamedTuple):
    """The names without an image below the root, and a sentence on what may be meant, blank if unknown.

    `twins`: pairs of names that lead to one file by links, each with the first of its file's names.
    """

    missing: list[str]
    hint: str
    twins: Sequence[tuple[str, str]] = ()


def look_up(root: Path, names: Collection[str]) -> Lookup:
    """Find the names under which there is no file below `root`, by listing its folders."""
    found = _found(os.path.realpath(root), names)
    missing = [name for name in names if name not in found]
    return Lookup(missing, _hint(root, missing) if missing else "", _twins(found))


def _twins(found: Mapping[str, str]) -> list[tuple[str, str]]:
    first: dict[str, str] = {}
    return [(first[path], name) for name, path in found.items() if first.setdefault(path, name) != name]


def _found(root: str, names: Iterable[str]) -> dict[str, str]:
    """Return the files below the root: name -> path without links."""
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
    sample = missing[:: -(-len(missing) // _SAMPLE)]
    linked = sum((root / name).is_symlink() for name in sample)
    if linked > _MOST * len(sample):
        return (
            "they are links that lead out of the folder, or nowhere; name the folder of the files themselves"
        )
    for above in [*root.parents][:_UP]:
        found = sum((above / name).is_file() for name in sample)
        if found > _MOST * len(sample):
            return _use(above, found, len(sample))
    bases = _bases(root, sample)
    if bases:
        base, found = bases.most_common(1)[0]
        if found > _MOST * len(sample):
            return _use(root / base, found, len(sample))
        if bases.total() > _MOST * len(sample):
            return (
                f"they lie in {len(bases)} folders below it, such as {base}; write the folder before each "
                "name in the manifest"
            )
    return _near(root, sample[0])


def _use(root: Path, found: int, of: int) -> str:
    return f"{found:,} of {of:,} are found below {root}: use --images {root}"


def _bases(root: Path, sample: list[str]) -> Counter[str]:
    """Count the folders below the root from which a name of the sample leads to a file."""
    wanted: dict[str, list[str]] = defaultdict(list)
    for name in sample:
        wanted[name.rpartition("/")[2]].append(name)
    bases: Counter[str] = Counter()
    until = time.monotonic() + _SEARCH_SECONDS
    for folder, _, files in os.walk(root):
        below = os.path.relpath(folder, root)
        for file in wanted.keys() & set(files):
            path = f"{below}/{file}"
            bases.update(path[: -len(name) - 1] for name in wanted[file] if path.endswith(f"/{name}"))
        if time.monotonic() > until:
            break
    return bases


def _near(root: Path, name: str) -> str:
    """Name the file that differs from a name only in case or in its ending."""
    stem = Path(name).name.casefold()
    try:
        files = [path.name for path in (root / name).parent.iterdir()]
    except OSError:
        return ""
    near = sorted(file for file in files if stem in {file.casefold(), Path(file.casefold()).stem})
    if len(near) != 1:
        return ""
    ending = near[0].removeprefix(Path(name).name) if near[0].startswith(f"{Path(name).name}.") else ""
    add = f"; --image-name '{{COLUMN}}{ending}' adds the ending to a column's names" if ending else ""
    return f"{name!r} is there as {near[0]!r}{add}"
