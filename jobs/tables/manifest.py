"""Reading a CSV manifest into rows, the first step of the data's way; nothing is queued from a bad one."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from config.findings import FINDINGS
from db.manifests import LeftOut, ManifestRow, Reading
from jobs.tables.case_files import LABEL, case_files, files_cell
from jobs.tables.cells import (
    is_frontal,
    is_unknown,
    parse_age,
    parse_follow_up,
    parse_sex,
    parse_view,
    patient_parser,
)
from jobs.tables.columns import ABSENT, ColumnError, Header, Parsed, shown
from jobs.tables.errors import TableError
from jobs.tables.label_columns import LabelColumns, is_uncertain
from jobs.tables.layouts.opening import Opened, open_tables
from jobs.tables.place import Place
from jobs.tables.reading import ReadOptions
from jobs.tables.remarks import remarks
from jobs.tables.table import Layout, Table, fingerprint_of

_PATIENT: Final = ("Patient ID", "patient", "subject_id")
_VIEW: Final = ("View Position", "view", "AP/PA", "ap_pa", "Projection")
_SIDE: Final = ("Frontal/Lateral", "frontal_lateral")
_SEX: Final = ("Patient Gender", "Patient Sex", "Sex", "Gender", "PatientSex_DICOM")
_AGE: Final = ("Patient Age", "Age")
_HINTS: Final = {
    "patient": "--patient-column",
    "view": "--view-column",
    "projection": "--view-column",
    "sex": "--sex-column",
    "gender": "--sex-column",
    "age": "--age-column",
    "split": "--split",
}
"""The option for a column whose name has such a word in it and is not recognised."""


class Manifest:
    """A manifest on disk, gone through once when it is opened; its rows are streamed on each iteration.

    `left_out` are the images that are no rows, because of their views; complete once the rows are read.
    `findings` are those with labels, in the order of the vocabulary: ChestX-ray14's, then the model's others,
    then those that an option added; it is empty for an archive without labels. `labelled`: whether any label
    is known. `reading` is what was taken of the file.
    """

    def __init__(
        self,
        path: Path,
        options: ReadOptions | None = None,
        *,
        findings: Sequence[str] = FINDINGS,
        channels: Sequence[str] = (),
        root: str = "",
        origin: Place | None = None,
    ) -> None:
        """Read the header and count the cells.

        `findings` are the model's, and `channels`, too, if it is one of volumes. `root` is the folder of the
        images, which their names may begin with. `origin`: where it lies, if `path` is a copy.

        Raises TableError where the file cannot be read.
        """
        self.path = path
        self._origin = origin
        self._told = options or ReadOptions()
        self._opened = open_tables(path, self._told, findings, root)
        self._table = self._opened.table
        self._columns = self._table.lay_out(
            lambda header: _Columns(header, self._opened, self._told, case_files(header, channels), root)
        )
        self.reading = self._columns.settle(self._table)
        self.left_out: list[LeftOut] = []
        if self._told.view == "frontal":
            remarks = (*self.reading.remarks, *self._views_said())
            self.reading = self.reading._replace(remarks=remarks)
        self.findings = tuple(self.reading.labels)
        self.labelled = self._columns.labelled

    @property
    def readers(self) -> list[str]:
        """The names of the readers whose labels the file has; none where it names none."""
        return sorted(self._opened.shape.readers - {""})

    def fingerprint(self) -> str:
        """Return the SHA-256, in hex, of the files' bytes and of how they are read.

        Raises TableError where a file cannot be read any more.
        """
        told = {option: value for option, value in self._told.told().items() if option != "join"}
        how: list[object] = [told, dict(self.reading.labels)]
        if self._columns.files:
            how.append(self._columns.files)
        if self._opened.shape.changed:
            how += [self.reading.layout, self.reading.columns["image"], *self._opened.shape.notes]
            how += [fingerprint_of(path, []) for path in self._opened.joined]
        return fingerprint_of(self._table.path, how)

    @property
    def origin(self) -> str:
        """Where it lies: a path without links, or the URI of which it is a copy."""
        return self._origin if isinstance(self._origin, str) else str(self.path.resolve())

    def __iter__(self) -> Iterator[ManifestRow]:
        """Stream the rows in the file's order; raise TableError at the first bad one."""
        rows = self._table.rows(self._columns)
        return self._frontal(rows) if self._told.view == "frontal" else rows

    def names(self) -> Iterator[str]:
        """Stream the names of the images that are rows, without reading what else the file says of them.

        It takes a third of the time of the rows. What is wrong with a record is for these to say.
        """
        frontal = self._told.view == "frontal"
        image = self._columns.image
        for _, fields in self._table.records():
            if image < len(fields) and not (frontal and not is_frontal(self._columns.view([*fields, ""]))):
                yield self._table.plain(fields[image])

    def _frontal(self, rows: Iterator[ManifestRow]) -> Iterator[ManifestRow]:
        self.left_out.clear()
        kept = 0
        for row in rows:
            if is_frontal(row.view_position):
                kept += 1
                yield row
            else:
                self.left_out.append(LeftOut(row.image_index, row.view_position, "view"))
        if not kept:
            raise TableError(self.path, "no image has a frontal view", "Take all of them: --view all.")

    def _views_said(self) -> Iterator[str]:
        """Count the images by whether their views are frontal, and say what is made of it."""
        views = Counter(self._columns.view([*fields, ""]) for _, fields in self._table.records())
        others = Counter({view: images for view, images in views.items() if not is_frontal(view)})
        if others:
            examples = ", ".join(f"{images:,} {shown(str(view))}" for view, images in others.most_common(5))
            yield f"views that are not frontal, left out (see --view): {others.total():,} ({examples})"
        if views[None]:
            yield f"views that are not known, taken as frontal: {views[None]:,}"


class _Columns(Layout[ManifestRow]):
    """Which of the header's columns is which."""

    def __init__(
        self, header: Header, opened: Opened, told: ReadOptions, files: Mapping[str, int], root: str
    ) -> None:
        self._opened = opened
        self._root = root
        facts = opened.shape.facts
        first = next((index for what, index in files.items() if what != LABEL), None)
        super().__init__(
            header, header.image(facts.get("image", told.image_column)) if first is None else first
        )
        self.files = files
        self._header = header
        self._vocabulary = opened.shape.vocabulary
        self._uncertain = told.uncertain
        self._patient = header.known(told.patient_column or facts.get("patient"), *_PATIENT)
        self._follow_up = header.column(parse_follow_up, None, "Follow-up #")
        self._view = header.column(parse_view, told.view_column, *_VIEW)
        self._side = ABSENT if told.view_column else header.find(*_SIDE)
        self._sex = header.column(parse_sex, told.sex_column, *_SEX)
        self._age = header.column(parse_age, told.age_column or facts.get("age"), *_AGE)
        self._labels = LabelColumns(
            header,
            self._vocabulary,
            told.finding_columns,
            told.uncertain,
            ignore_others=told.ignore_labels,
            listed=opened.shape.listed,
            about=opened.shape.about,
        )
        self._patients = Parsed(patient_parser(()))
        self._label_indexes: list[int] = []
        self.labelled = False
        self._parsed = Parsed(self._labels.labels)

    def settle(self, table: Table) -> Reading:
        """Decide what only all cells of a column can say; returns what was taken of the table."""
        facts = {
            "image": self.image,
            "patient": self._patient,
            "follow-up": self._follow_up.index,
            "view": self._view.index,
            "side": self._side,
            "sex": self._sex.index,
            "age": self._age.index,
        }
        facts = {what: index for what, index in facts.items() if index != ABSENT} | dict(self.files)
        counted = {*facts.values()} - {self.image, *self.files.values()} | {*self._labels.indexes}
        counts = table.count(counted, self.image)
        self._patients = Parsed(patient_parser(counts.get(self._patient, ())))
        self._labels.settle(counts.get(self._labels.listed, {}))
        self._label_indexes = self._labels.indexes
        self.labelled = any(
            not is_unknown(cell) and not (self._uncertain == "ignore" and is_uncertain(cell))
            for index in self._label_indexes
            for cell in counts[index]
        )
        self.labelled |= LABEL in self.files
        labels = self._labels.sources()
        used = {*facts.values(), *self._label_indexes}
        try:
            shaped = tuple(self._opened.shape.remarks())
        except ColumnError as flaw:
            raise table.located(flaw) from None
        names = self._header.names
        return Reading(
            columns={what: names[index] for what, index in facts.items()},
            labels=labels,
            unlabelled=tuple(finding for finding in self._vocabulary.model if finding not in labels),
            unused={
                name or f"column {index + 1}, without a name": self._hint(name, labels)
                for index, name in enumerate(names)
                if index not in used and index < self.widths[0] and name not in self._opened.shape.used
            },
            uncertain=self._uncertain,
            remarks=(*table.remarks(), *shaped, *remarks(facts, counts, self._labels)),
            layout=None if self._opened.layout is None else self._opened.layout.title,
            words=self._labels.words,
        )

    def _hint(self, name: str, labels: Mapping[str, str]) -> str | None:
        finding = self._vocabulary.finding(name) or self._vocabulary.near(name)
        if finding is not None:
            taken = "" if labels.get(finding) in {None, name} else f", instead of {labels[finding]}"
            return f"{finding}{taken}? add --finding-column '{name}={finding}'"
        words = set(name.casefold().replace("_", " ").replace("/", " ").split())
        return next((f"? {option}" for word, option in _HINTS.items() if word in words), None)

    def view(self, fields: list[str]) -> str | None:
        """Return the view that a record states, its last field a blank one. A lateral's side is its view."""
        view = self._view.values[fields[self._view.index]] if self._view.index < len(fields) else None
        if ABSENT < self._side < len(fields):
            side = parse_view("", fields[self._side])
            view = side if side and (view is None or side.startswith("LAT")) else view
        return view

    def row(self, fields: list[str]) -> ManifestRow:
        """Read one record; raise ColumnError where a cell cannot be read."""
        fields.append("")  # the blank cell of every column that is ABSENT, the last one
        return ManifestRow(
            fields[self.image],
            self._patients[fields[self._patient]],
            self._follow_up.values[fields[self._follow_up.index]],
            self.view(fields),
            self._sex.values[fields[self._sex.index]],
            self._age.values[fields[self._age.index]],
            self._parsed[tuple([fields[index] for index in self._label_indexes])],
            files_cell(fields, self.files, self._root) if self.files else None,
        )
