"""From a tree of DICOM files to cases of volumes: a study's series of MR, each named by its folder.

A case has one series of each sequence. Which is meant where a study has two, nobody can know but a person:
such a study is passed over, as is one that lacks a sequence. Each file is one of a case, or passed over.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, NamedTuple

from jobs.inventory.film import Film, looked_below, recognised, uid_of
from jobs.inventory.inventory import look_into_all
from jobs.inventory.pseudonyms import PatientId, key_of, pseudonym
from jobs.inventory.selection import MODALITIES, skip_without_picture
from jobs.inventory.sequence import sequence_of
from jobs.inventory.skips import Skip, Skipped
from jobs.inventory.walk import skip_of_name, walk
from jobs.sources.folder import FolderSource

MODALITY: Final = "MR"


class Picture(NamedTuple):
    """A DICOM picture, of which a case can be made where `reason` is None: of MR.

    `modality`: blank where it is unknown. `sequence`: which one its words say, blank where they do not.
    """

    name: str
    reason: Skip | None
    modality: str
    patient_id: str
    study_uid: str
    series_uid: str
    sequence: str
    frames: int


class Case(NamedTuple):
    """A study with one series of each sequence. `places`: by the sequence, the name of its folder or file."""

    patient_id: str
    places: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Cases:
    """The files of a folder: those of cases, which are counted, and those that are passed over, by name."""

    root: str
    sequences: Sequence[str]
    cases: Sequence[Case]
    kept: int
    skipped: Sequence[Skipped]

    @property
    def found(self) -> int:
        """All files."""
        return self.kept + len(self.skipped)

    def identified(self, home: Path, patient_id: PatientId) -> "Cases":
        """Return it with patients as a manifest shall have them; ConfigError where the key cannot be used."""
        key = key_of(home) if self.cases and patient_id == "hash" else b""
        return replace(
            self,
            cases=[
                case._replace(patient_id=pseudonym(case.patient_id, patient_id, key)) for case in self.cases
            ],
        )


def find_cases(
    path: Path,
    sequences: Sequence[str],
    own: tuple[Path, ...] = (),
    processes: int | None = None,
    found: Callable[[int], None] = lambda _: None,
    looked: Callable[[int, int], None] = lambda _, __: None,
) -> Cases:
    """Look into all files below a folder, and put together what belongs together.

    `own`, `processes`, `found` and `looked` as in `take_inventory`. Raises SourceError where it is no folder.
    """
    FolderSource(path).require()
    names, skipped = walk(path, own, found)
    pictures: list[Picture] = []
    for file in look_into_all(partial(_look_at, path), names, processes, looked):
        if isinstance(file, Skipped):
            skipped.append(file)
        else:
            pictures.append(file)
    cases, others = _put_together(pictures, sequences)
    kept = len(pictures) - len(others)
    return Cases(FolderSource(path).root, sequences, cases, kept, sorted([*skipped, *others]))


def _look_at(root: Path, names: list[str]) -> list[Picture | Skipped]:
    source = FolderSource(root)
    return [looked_below(source, name, _looked_into) for name in names]


def _looked_into(name: str, file: BinaryIO) -> Picture | Skipped:
    found = recognised(name, file)
    if isinstance(found, Skipped):
        return found
    if isinstance(found, Film):
        return Skipped(name, Skip.NOT_DICOM)
    modality = found.word("Modality")
    shown = modality if modality in MODALITIES else ""
    if found.number("Rows") is None or found.number("Columns") is None:
        return Skipped(name, skip_without_picture(found), shown)
    study, series = uid_of(found, "StudyInstanceUID"), uid_of(found, "SeriesInstanceUID")
    reasons = (
        (Skip.OTHER_MODALITY, modality != MODALITY),
        (Skip.LOCALIZER, "LOCALIZER" in [word.upper() for word in found.texts("ImageType")]),
        (Skip.COLOUR, (found.number("SamplesPerPixel") or 1) > 1),
        (Skip.NO_SERIES, not (study and series)),
    )
    return Picture(
        name,
        next((reason for reason, applies in reasons if applies), None),
        shown,
        next(iter(found.texts("PatientID")), ""),
        study,
        series,
        sequence_of(found),
        found.number("NumberOfFrames") or 1,
    )


def _put_together(pictures: Sequence[Picture], sequences: Sequence[str]) -> tuple[list[Case], list[Skipped]]:
    """Return the cases in the order of their names, and the pictures that are of none."""
    studies: dict[str, dict[str, list[Picture]]] = defaultdict(lambda: defaultdict(list))
    skipped: list[Skipped] = []
    for picture in pictures:
        if picture.reason is None:
            studies[picture.study_uid][picture.series_uid].append(picture)
        else:
            skipped.append(Skipped(picture.name, picture.reason, picture.modality))
    shared = _shared_folders(pictures)
    cases: list[Case] = []
    for study in studies.values():
        places, reasons = _sorted_out(study, sequences, shared)
        if reasons.keys() != study.keys():
            (first, *_), *_ = study.values()
            cases.append(Case(first.patient_id, {sequence: places[sequence] for sequence in sequences}))
        skipped += [
            Skipped(picture.name, reason, picture.modality)
            for uid, reason in reasons.items()
            for picture in study[uid]
        ]
    return sorted(cases, key=lambda case: [*case.places.values()]), skipped


def _sorted_out(
    study: Mapping[str, Sequence[Picture]], sequences: Sequence[str], shared: Collection[str]
) -> tuple[dict[str, str], dict[str, Skip]]:
    """Return where each sequence of a study is, and by their UIDs why series are passed over.

    All of them are where the study is no case.
    """
    reasons: dict[str, Skip] = {}
    places: dict[str, str] = {}
    ambiguous = False
    for uid, pictures in study.items():
        sequence, place = pictures[0].sequence, _place(pictures)
        if sequence not in sequences or sum(picture.frames for picture in pictures) == 1:
            reasons[uid] = Skip.OTHER_SEQUENCE
        elif place in shared:
            reasons[uid] = Skip.SHARED_FOLDER
        elif unfit := skip_of_name(place):
            reasons[uid] = unfit
        else:
            ambiguous = ambiguous or sequence in places
            places[sequence] = place
    if ambiguous or len(places) < len(sequences):
        left = Skip.AMBIGUOUS_STUDY if ambiguous else Skip.INCOMPLETE_STUDY
        reasons |= {uid: left for uid in study if uid not in reasons}
    return places, reasons


def _place(pictures: Sequence[Picture]) -> str:
    """Return how a manifest names a series: its only file, or the folder that has all of them."""
    if len(pictures) == 1:
        return pictures[0].name
    return os.path.commonpath([PurePosixPath(picture.name).parent for picture in pictures])


def _shared_folders(pictures: Sequence[Picture]) -> set[str]:
    """Return the folders below which there is more than one series, and the root, which has no name."""
    series: dict[str, set[str]] = defaultdict(set)
    for picture in pictures:
        for folder in PurePosixPath(picture.name).parents:
            series[str(folder)].add(picture.series_uid)
    return {"", "."} | {folder for folder, of in series.items() if len(of) > 1}


def case_lines(found: Cases) -> list[str]:
    """Count the files in a few lines; no name of a file is among them."""
    kept, skipped = f"{found.kept:,} in {len(found.cases):,} cases", f"{len(found.skipped):,} skipped"
    lines = [f"{found.found:,} files found: {kept}, {skipped}"]
    if found.skipped:
        reasons = Counter(file.reason for file in found.skipped).most_common()
        lines.append(f"skipped: {', '.join(f'{files:,} {reason}' for reason, files in reasons)}")
    return lines
