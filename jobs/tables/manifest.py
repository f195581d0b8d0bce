"""Reading a CSV manifest into rows, the first step of the data's way; nothing is queued from a bad one."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from config.findings import FINDINGS
from db.manifests import ManifestRow
from jobs.tables.columns import (
    ABSENT,
    Header,
    Parsed,
    parse_age,
    parse_flags,
    parse_follow_up,
    parse_listed,
    parse_sex,
    parse_view,
)
from jobs.tables.table import Layout, Table, fingerprint_of


class Manifest:
    """A manifest on disk: its header is read at once, its rows are streamed on each iteration.

    `layout` is "nih" where a column Finding Labels lists the findings by name, else "columns": one
    column per finding. `findings` is in the order of `config.findings.FINDINGS`, or of `finding_columns`
    (column -> finding); it is empty for an archive without labels.
    """

    def __init__(
        self,
        path: Path,
        *,
        image_column: str | None = None,
        finding_columns: Mapping[str, str] | None = None,
    ) -> None:
        """Read the header; raise TableError where it or the file cannot be read."""
        self.path = path
        self._options = [image_column, None if finding_columns is None else [*finding_columns.items()]]
        self._table = Table(path, "A manifest", "image")
        self._columns = self._table.lay_out(lambda header: _Columns(header, image_column, finding_columns))
        self.layout = "columns" if self._columns.listed == ABSENT else "nih"
        self.findings = self._columns.findings

    def fingerprint(self) -> str:
        """Return the SHA-256, in hex, of the file's bytes and of the options that it is read with.

        Raises TableError where the file cannot be read any more.
        """
        return fingerprint_of(self.path, self._options)

    def __iter__(self) -> Iterator[ManifestRow]:
        """Stream the rows in the file's order; raise TableError at the first bad one."""
        return self._table.rows(self._columns)


class _Columns(Layout[ManifestRow]):
    """Which of the header's columns is which. `listed` is NIH's column of findings, or ABSENT."""

    def __init__(self, header: Header, image: str | None, findings: Mapping[str, str] | None) -> None:
        super().__init__(header, header.image(image))
        self._patient = header.find("Patient ID", "patient", "subject_id")
        self._follow_up = header.column(parse_follow_up, "Follow-up #")
        self._view = header.column(parse_view, "View Position", "view", "AP/PA")
        self._sex = header.column(parse_sex, "Patient Gender", "Sex", "Gender")
        self._age = header.column(parse_age, "Patient Age", "Age")
        self.listed = header.find("Finding Labels") if findings is None else ABSENT
        if self.listed == ABSENT:
            columns, parse = header.findings(findings), parse_flags
            self._label_columns = [*columns.values()]
        else:
            columns, parse = dict.fromkeys(FINDINGS, self.listed), parse_listed
            self._label_columns = [self.listed]
        self.findings = tuple(columns)
        self._labels = Parsed(partial(parse, [header.names[index] for index in self._label_columns]))

    def row(self, fields: list[str]) -> ManifestRow:
        """Read one record; raise ColumnError where a cell cannot be read."""
        fields.append("")  # the blank cell of every column that is ABSENT, the last one
        return ManifestRow(
            fields[self.image],
            fields[self._patient].strip() or None,
            self._follow_up.values[fields[self._follow_up.index]],
            self._view.values[fields[self._view.index]],
            self._sex.values[fields[self._sex.index]],
            self._age.values[fields[self._age.index]],
            self._labels[tuple([fields[index] for index in self._label_columns])],
        )
