"""Reading a CSV manifest into rows, the first step of the data's way; nothing is queued from a bad one.

The standard library's reader is used and not pandas: pandas does not tell the line and the column of a
bad cell, and a person who has to mend a file of 112,120 rows needs both.
"""

import csv
import gzip
import hashlib
import json
import stat
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Final

from config.findings import FINDINGS
from jobs.errors import JobsError
from jobs.tables.columns import (
    ABSENT,
    UNKNOWN,
    Flaw,
    Header,
    Parsed,
    check_image,
    parse_age,
    parse_flags,
    parse_follow_up,
    parse_listed,
    parse_sex,
    parse_view,
    shown,
)

__all__ = ["UNKNOWN", "Manifest", "ManifestError", "ManifestRow", "fingerprint_of", "located", "records"]

_LINE_LIMIT: Final = 1 << 20  # characters: a file of zeros has no line ends and would be read whole
_BLANK_LIMIT: Final = 100_000  # lines in a row: a kilobyte of gzip holds a million of them
_SAVE_AS_CSV: Final = "Save it as CSV in UTF-8; compressed with gzip it must end in .csv.gz."


class ManifestError(JobsError):
    """The manifest cannot be read as it stands; says in one line where, why and what to do.

    `line` counts from 1, the header's; of a record that spans several lines it is the first.
    """

    def __init__(
        self, path: Path, problem: str, advice: str, line: int | None = None, column: str | None = None
    ) -> None:
        super().__init__(path, problem, advice, line, column)
        self.path = path
        self.problem = problem
        self.advice = advice
        self.line = line
        self.column = column

    def __str__(self) -> str:
        """Return, say, `chest.csv, line 7, column 'Mass': label '2' is none of 0, 1 and blank. Write 1 …`."""
        line = "" if self.line is None else f", line {self.line}"
        column = "" if self.column is None else f", column {shown(self.column)}"
        return f"{self.path}{line}{column}: {self.problem}. {self.advice}"


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One image of the archive as the manifest describes it; what the file leaves blank is None.

    `line`: where the record starts (the header is line 1). `image_index`: the image's path relative to
    the images' root, as written. `view_position`: upper-cased. `sex`: "F", "M" or "O". `age_years`: in
    years, also where the file counts months, weeks or days. `labels`: one character a finding of
    `Manifest.findings`, "1", "0" or UNKNOWN.
    """

    line: int
    image_index: str
    patient_id: str | None
    follow_up: int | None
    view_position: str | None
    sex: str | None
    age_years: float | None
    labels: str


class Manifest:
    """A manifest on disk: its header is read at once, its rows are streamed as often as asked for.

    `layout` is "nih" where a column Finding Labels lists the findings by name, else "columns": one
    column a finding. `findings` is in the order of `config.findings.FINDINGS`, or of `finding_columns`
    (column -> finding); it is empty for an archive without labels.
    """

    def __init__(
        self,
        path: Path,
        *,
        image_column: str | None = None,
        finding_columns: Mapping[str, str] | None = None,
    ) -> None:
        """Read the header; raise ManifestError where it or the file cannot be read."""
        self.path = path
        self._options = [image_column, None if finding_columns is None else [*finding_columns.items()]]
        self._first = next(records(path), None)
        if self._first is None:
            raise ManifestError(
                path, "the file is empty", "A manifest has a header and a row for each image."
            )
        line, names = self._first
        try:
            self._lay_out(Header(names), image_column, finding_columns)
        except Flaw as flaw:
            raise located(flaw, path, line) from None

    def _lay_out(self, header: Header, image: str | None, findings: Mapping[str, str] | None) -> None:
        self._widths = header.widths
        self._image = header.image(image)
        self._image_name = header.names[self._image]
        self._patient = header.find("Patient ID", "patient", "subject_id")
        self._follow_up = header.column(parse_follow_up, "Follow-up #")
        self._view = header.column(parse_view, "View Position", "view", "AP/PA")
        self._sex = header.column(parse_sex, "Patient Gender", "Sex", "Gender")
        self._age = header.column(parse_age, "Patient Age", "Age")
        listed = header.find("Finding Labels") if findings is None else ABSENT
        self.layout = "columns" if listed == ABSENT else "nih"
        columns = header.findings(findings) if listed == ABSENT else dict.fromkeys(FINDINGS, listed)
        self.findings = tuple(columns)
        self._label_columns = [*columns.values()] if listed == ABSENT else [listed]
        parse = parse_flags if listed == ABSENT else parse_listed
        self._labels = Parsed(partial(parse, [header.names[index] for index in self._label_columns]))

    def fingerprint(self) -> str:
        """Return the SHA-256, in hex, of the file's bytes and of the options that it is read with.

        Raises ManifestError where the file cannot be read any more.
        """
        return fingerprint_of(self.path, self._options)

    def __iter__(self) -> Iterator[ManifestRow]:
        """Stream the rows in the file's order; raise ManifestError at the first bad one."""
        found = records(self.path)
        if next(found, None) != self._first:
            raise ManifestError(self.path, "the header changed while the file was in use", "Start again.")
        lines: dict[str, int] = {}
        for line, fields in found:
            try:
                row = self._row(line, fields)
                first = lines.setdefault(row.image_index, line)
                if first != line:
                    problem = f"image {shown(row.image_index)} was already on line {first}"
                    raise Flaw(problem, "Keep one row for each image.", self._image_name)  # noqa: TRY301
            except Flaw as flaw:
                raise located(flaw, self.path, line) from None
            yield row
        if not lines:
            raise ManifestError(self.path, "there is a header but no row", "Add a row for each image.")

    def _row(self, line: int, fields: list[str]) -> ManifestRow:
        if len(fields) not in self._widths:
            problem = f"the number of fields is {len(fields)}, in the header {self._widths[0]}"
            raise Flaw(problem, "Quote a field that contains commas, and keep the comma of a blank one.")
        image = fields[self._image]
        if not image.isprintable() or not image.strip():
            check_image(self._image_name, image)
        fields.append("")  # the blank cell of every column that is ABSENT, the last one
        return ManifestRow(
            line,
            image,
            fields[self._patient].strip() or None,
            self._follow_up.values[fields[self._follow_up.index]],
            self._view.values[fields[self._view.index]],
            self._sex.values[fields[self._sex.index]],
            self._age.values[fields[self._age.index]],
            self._labels[tuple([fields[index] for index in self._label_columns])],
        )


def fingerprint_of(path: Path, options: object) -> str:
    """Return the SHA-256, in hex, of a file's bytes and of the options (JSON's types) it is read with.

    Raises ManifestError where the file cannot be read.
    """
    with _errors_named(path), path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256")
    # A text holds no zero byte, so the options cannot be taken for more of the file.
    digest.update(b"\0" + json.dumps(options).encode())
    return digest.hexdigest()


def located(flaw: Flaw, path: Path, line: int) -> ManifestError:
    """Add file and line to a flaw."""
    return ManifestError(path, flaw.problem, flaw.advice, line, flaw.column)


@contextmanager
def _errors_named(path: Path) -> Iterator[None]:
    """Turn what the file system and gzip raise into ManifestError."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise ManifestError(path, "this is a directory", "Name the CSV file itself.")
        if not stat.S_ISREG(mode):
            # Rows are read more than once, which a pipe cannot do.
            raise ManifestError(path, "this is not a regular file", "Save it as a file first.")
        yield
    except FileNotFoundError:
        raise ManifestError(path, "there is no such file", "Check the path.") from None
    except PermissionError:
        raise ManifestError(path, "no permission to read the file", "Make it readable for you.") from None
    except EOFError:
        raise ManifestError(path, "the compressed data end early", "Copy or download it again.") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ManifestError(path, f"the compressed data are damaged ({error})", _SAVE_AS_CSV) from None
    except (OSError, ValueError) as error:
        raise ManifestError(
            path, f"the file cannot be read ({error})", "Check the path and the disk."
        ) from None


def records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Stream a CSV file's records: (line on which one starts, its fields), blank lines left out.

    A path that ends in .gz is read through gzip. Raises ManifestError where the file is no CSV in UTF-8.
    """
    start, blank = 1, 0
    with _errors_named(path), _open(path) as stream:
        reader = csv.reader(_lines(path, stream), strict=True)
        try:
            for fields in reader:
                if fields and (len(fields) > 1 or fields[0].strip()):
                    yield start, fields
                    blank = 0
                elif (blank := blank + 1) > _BLANK_LIMIT:
                    problem = f"more than {_BLANK_LIMIT:,} blank lines follow each other"
                    raise ManifestError(path, problem, "Remove them.", start)
                start = reader.line_num + 1
        except csv.Error as error:
            advice = 'Close each quoted field with " before the comma; write a quote within one as "".'
            problem = f"the quoting of the record that starts here is broken ({error})"
            raise ManifestError(path, problem, advice, start) from None


def _open(path: Path) -> IO[str]:
    opened = gzip.open if path.suffix.lower() == ".gz" else open
    # Bytes that are not UTF-8 come through as surrogates, so that _lines can tell their line.
    return opened(path, "rt", encoding="utf-8-sig", errors="surrogateescape", newline="")


def _lines(path: Path, stream: IO[str]) -> Iterator[str]:
    for number, line in enumerate(iter(partial(stream.readline, _LINE_LIMIT), ""), 1):
        if "\0" in line or len(line) == _LINE_LIMIT or not (line.isascii() or _is_unicode(line)):
            raise ManifestError(path, "this is not a text CSV in UTF-8", _SAVE_AS_CSV, number)
        yield line


def _is_unicode(line: str) -> bool:
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True
