"""One file of a tree: by its first bytes what it is, and by its header whether a manifest has it, and how."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, TypeVar

from config.dicom import SPACINGS
from config.failures import ImageUnusableError, Reason
from jobs.inventory.header import HEAD, Header, HeaderError, is_directory, read_header
from jobs.inventory.selection import MODALITIES, skip_of
from jobs.inventory.skips import Skip, Skipped
from jobs.inventory.view import view_of
from jobs.sources.folder import FolderSource
from jobs.tables.cells import OLDEST, written_age

Found = TypeVar("Found")

KINDS: Final[dict[str, Callable[[bytes], bool]]] = {
    "PNG": lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"),
    "JPEG": lambda head: head.startswith(b"\xff\xd8\xff"),
    "DICOM": lambda head: head.startswith(b"DICM", 128),
}
"""What a manifest may name, by a file's first bytes; the kinds of the workers' formats."""

UNUSABLE: Final = {
    Reason.EMPTY: Skip.EMPTY,
    Reason.MISSING: Skip.MISSING,
    Reason.NOT_A_FILE: Skip.NOT_A_FILE,
    Reason.OUTSIDE_ROOT: Skip.OUTSIDE_ROOT,
}
UID: Final = re.compile(r"[0-9.]{1,64}", re.ASCII)
_SAID: Final = frozenset({"YES", "NO"})
_PHOTOMETRIC: Final = frozenset({"MONOCHROME1", "MONOCHROME2"})


class Film(NamedTuple):
    """A file that a manifest has; all but its name is blank where the file does not say it, as in a PNG.

    Each value is of a fixed set, a number, or a UID, so that nothing that a person has typed comes with it,
    but for `patient_id`. `row_spacing` and `column_spacing`: in mm. `burned_in`: whether the file says that
    text is part of its pixels.
    """

    name: str
    kind: str
    patient_id: str = ""
    view: str = ""
    age: str = ""
    sex: str = ""
    study_uid: str = ""
    series_uid: str = ""
    sop_uid: str = ""
    modality: str = ""
    rows: int | str = ""
    columns: int | str = ""
    photometric: str = ""
    row_spacing: float | str = ""
    column_spacing: float | str = ""
    spacing: str = ""
    transfer_syntax: str = ""
    burned_in: str = ""


def look_at(root: Path, names: list[str], *, any_view: bool) -> list[Film | Skipped]:
    """Look into files below a root, in this order."""
    look = partial(looked_into, any_view=any_view)
    source = FolderSource(root)
    return [looked_below(source, name, look) for name in names]


def looked_below(
    source: FolderSource, name: str, look: Callable[[str, BinaryIO], Found | Skipped]
) -> Found | Skipped:
    """Return what is found in a file of a folder, or why it cannot be read."""
    try:
        with source.opened(name) as file:
            return look(name, file)
    except ImageUnusableError as error:
        return Skipped(name, UNUSABLE.get(error.reason, Skip.UNREADABLE))


def looked_into(name: str, file: BinaryIO, *, any_view: bool) -> Film | Skipped:
    """Return what a manifest has of a file, or why it has nothing, by its beginning."""
    found = recognised(name, file)
    return described(name, found, any_view=any_view) if isinstance(found, Header) else found


def recognised(name: str, file: BinaryIO) -> Film | Header | Skipped:
    """Return a picture that is no DICOM file, a DICOM file's header, or why neither can be had."""
    head = file.read(HEAD)
    kind = next((kind for kind, matches in KINDS.items() if matches(head)), None)
    if kind is None:
        return Skipped(name, Skip.NOT_A_PICTURE)
    if kind != "DICOM":
        return Film(name, kind)
    if is_directory(head):
        return Skipped(name, Skip.DICOMDIR)
    file.seek(0)
    try:
        return read_header(file)
    except HeaderError:
        return Skipped(name, Skip.UNREADABLE)


def described(name: str, header: Header, *, any_view: bool) -> Film | Skipped:
    """Return what a manifest has of a DICOM file, or why it has nothing, by its header."""
    modality = _known(header.word("Modality"), MODALITIES)
    view = view_of(header)
    reason = skip_of(header, view, any_view=any_view)
    if reason is not None:
        return Skipped(name, reason, modality)
    spacing, (row_spacing, column_spacing) = _spacing(header)
    return Film(
        name=name,
        kind="DICOM",
        patient_id=next(iter(header.texts("PatientID")), ""),
        view=view,
        age=_age(header),
        sex=_known(header.word("PatientSex"), frozenset("FMO")),
        study_uid=uid_of(header, "StudyInstanceUID"),
        series_uid=uid_of(header, "SeriesInstanceUID"),
        sop_uid=uid_of(header, "SOPInstanceUID"),
        modality=modality,
        rows=header.number("Rows") or "",
        columns=header.number("Columns") or "",
        photometric=_known(header.word("PhotometricInterpretation"), _PHOTOMETRIC),
        row_spacing=row_spacing,
        column_spacing=column_spacing,
        spacing=spacing,
        transfer_syntax=_uid(header.transfer_syntax),
        burned_in=_known(header.word("BurnedInAnnotation"), _SAID),
    )


def _known(word: str, words: frozenset[str]) -> str:
    return word if word in words else ""


def uid_of(header: Header, keyword: str) -> str:
    """Return a UID of a header, blank where it has none."""
    return _uid(header.word(keyword))


def _uid(word: str) -> str:
    return word if UID.fullmatch(word) else ""


def _age(header: Header) -> str:
    """Return an age that a manifest can have: 060Y, 011M, 62."""
    word = header.word("PatientAge")
    years = written_age(word)
    return word if years is not None and years <= OLDEST else ""


def _spacing(header: Header) -> tuple[str, tuple[float | str, float | str]]:
    """Return which spacing a file has, and that of its rows and of its columns."""
    for keyword in SPACINGS:
        try:
            row, column = map(float, header.texts(keyword))
        except ValueError:
            continue
        if 0 < row < float("inf") and 0 < column < float("inf"):
            return keyword, (row, column)
    return "", ("", "")
