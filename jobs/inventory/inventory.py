"""From a folder to what its manifest has and what it has not: each file is one or the other."""

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from config.failures import ImageUnusableError
from jobs.inventory.directory import named_in
from jobs.inventory.film import Film, Found, look_at
from jobs.inventory.processes import in_processes
from jobs.inventory.pseudonyms import PatientId, UidPolicy, identified, key_of
from jobs.inventory.skips import Skip, Skipped
from jobs.inventory.walk import walk
from jobs.sources.folder import FolderSource

_AT_A_TIME: Final = 64
"""Files that a process is given at once."""

_ALONE: Final = 512
"""So few files are read sooner than other processes begin."""

_BLOCK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Inventory:
    """The files of a folder or a bucket, those that a DICOMDIR names, or a service's instances; by name.

    `root`: of the source of images that the names are relative to. `alike`: films of which another, different
    one has the same SOP Instance UID.
    """

    root: str
    films: Sequence[Film]
    skipped: Sequence[Skipped]
    alike: int = 0

    @property
    def found(self) -> int:
        """All files."""
        return len(self.films) + len(self.skipped)

    def identified(self, home: Path, patient_id: PatientId, uid: UidPolicy) -> "Inventory":
        """Return it with patients and UIDs as a manifest shall have them, by the key of the home folder.

        Raises ConfigError where that cannot be used.
        """
        dicom = any(film.kind == "DICOM" for film in self.films)
        key = key_of(home) if dicom and "hash" in {patient_id, uid} else b""
        return replace(self, films=[identified(film, patient_id, uid, key) for film in self.films])

    def reasons(self) -> dict[Skip, int]:
        """Count the skipped files by reason, the most frequent first."""
        return dict(Counter(file.reason for file in self.skipped).most_common())


@dataclass(frozen=True, slots=True)
class Choice:
    """Which files are taken.

    `any_view`: laterals too. `only_dicom`: PNG and JPEG files are passed over. `skip_burned_in`: so are films
    that say that text is part of their pixels. `own`: folders of Nightread's that are not walked, as a
    picture in them is none of the archive's.
    """

    any_view: bool = False
    only_dicom: bool = False
    skip_burned_in: bool = False
    own: tuple[Path, ...] = ()


def take_inventory(
    path: Path,
    choice: Choice,
    processes: int | None = None,
    found: Callable[[int], None] = lambda _: None,
    looked: Callable[[int, int], None] = lambda _, __: None,
) -> Inventory:
    """Look into all files below a folder, or all that a DICOMDIR names.

    The result does not depend on the number of `processes`, by default one per core. `found` is called with
    the number of files found so far, then `looked` with how many of them have been looked into, and with all.
    Raises SourceError or DirectoryError where the path is neither.
    """
    root = path if path.is_dir() else path.parent
    FolderSource(root).require()
    if path.is_dir():
        names, skipped = walk(root, choice.own, found)
    else:
        names, skipped = named_in(path)
    films: list[Film] = []
    look = partial(look_at, root, any_view=choice.any_view)
    for file in look_into_all(look, names, processes, looked):
        if isinstance(taken := chosen(file, choice), Skipped):
            skipped.append(taken)
        else:
            films.append(taken)
    return without_copies(Inventory(str(root), films, sorted(skipped)), partial(_digest, FolderSource(root)))


def chosen(file: Film | Skipped, choice: Choice) -> Film | Skipped:
    """Return a file as it is, or passed over where a person does not want such."""
    if isinstance(file, Skipped):
        return file
    if choice.only_dicom and file.kind != "DICOM":
        return Skipped(file.name, Skip.NOT_DICOM)
    if choice.skip_burned_in and file.burned_in == "YES":
        return Skipped(file.name, Skip.BURNED_IN, file.modality)
    return file


def look_into_all(
    look: Callable[[list[str]], list[Found]],
    names: list[str],
    processes: int | None,
    looked: Callable[[int, int], None],
) -> Iterator[Found]:
    """Look into files with several processes, by default one per core; what is found comes in their order."""
    processes = processes or os.cpu_count() or 1
    parts = [names[start : start + _AT_A_TIME] for start in range(0, len(names), _AT_A_TIME)]
    alone = len(names) <= _ALONE or processes == 1
    done = 0
    for files in map(look, parts) if alone else in_processes(look, parts, processes):
        yield from files
        done += len(files)
        looked(done, len(names))


def without_copies(inventory: Inventory, digest: Callable[[Film], bytes]) -> Inventory:
    """Pass over a film whose bytes another one has, too, and count those that only say so.

    `digest`: of a film's content.
    """
    by_uid: dict[str, list[Film]] = defaultdict(list)
    for film in inventory.films:
        if film.sop_uid:
            by_uid[film.sop_uid].append(film)
    copies: set[str] = set()
    alike = 0
    for films in by_uid.values():
        seen: set[bytes] = set()
        for film in films if len(films) > 1 else ():
            content = digest(film)
            if content in seen:
                copies.add(film.name)
            seen.add(content)
        alike += len(seen) if len(seen) > 1 else 0
    return replace(
        inventory,
        films=[film for film in inventory.films if film.name not in copies],
        skipped=sorted(
            [
                *inventory.skipped,
                *(
                    Skipped(film.name, Skip.DUPLICATE, film.modality)
                    for film in inventory.films
                    if film.name in copies
                ),
            ]
        ),
        alike=alike,
    )


def _digest(source: FolderSource, film: Film) -> bytes:
    """Return a film's SHA-256; its name, which no other has, where it cannot be read any more."""
    digest = hashlib.sha256()
    with suppress(ImageUnusableError), source.opened(film.name) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
        return digest.digest()
    return film.name.encode()
