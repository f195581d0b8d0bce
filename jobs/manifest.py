"""Reading a CSV manifest into rows, the first step of the data's way; nothing is queued from a bad one.

The standard library's reader is used and not pandas: pandas does not tell the line and the column of a
bad cell, and a person who has to mend a file of 112,120 rows needs both.
"""

import csv
import gzip
import hashlib
import json
import re
import stat
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Final, Generic, NoReturn, TypeVar

from config.findings import FINDINGS
from jobs.errors import JobsError

UNKNOWN: Final = "-"

_ABSENT: Final = -1  # a recognised column that the file does not have
_LINE_LIMIT: Final = 1 << 20  # characters: a file of zeros has no line ends and would be read whole
_IMAGE_NAMES: Final = ("Image Index", "Image", "image_path", "path", "filename", "file")
_FLAGS: Final = {"0": "0", "0.0": "0", "1": "1", "1.0": "1", "": UNKNOWN}
_SEXES: Final = {"f": "F", "female": "F", "m": "M", "male": "M", "o": "O", "other": "O"}
_NO_SEX: Final = ("", "u", "unknown")
_YEARS: Final = {"": 1.0, "Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}
_AGE: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]+)?)([YMWD]?)", re.ASCII)
_FOLLOW_UP: Final = re.compile(r"([0-9]{1,9})(?:\.0)?", re.ASCII)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SAVE_AS_CSV: Final = "Save it as CSV in UTF-8; compressed with gzip it must end in .csv.gz."

K = TypeVar("K")
V = TypeVar("V")


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
        column = "" if self.column is None else f", column {_shown(self.column)}"
        return f"{self.path}{line}{column}: {self.problem}. {self.advice}"


class _Flaw(Exception):  # noqa: N818 - never leaves this module: whoever knows path and line adds them
    def __init__(self, problem: str, advice: str, column: str | None = None) -> None:
        super().__init__(problem, advice, column)

    def at(self, path: Path, line: int) -> ManifestError:
        problem, advice, column = self.args
        return ManifestError(path, problem, advice, line, column)


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
        self._first = next(_records(path), None)
        if self._first is None:
            raise ManifestError(
                path, "the file is empty", "A manifest has a header and a row for each image."
            )
        line, names = self._first
        try:
            self._lay_out(_Header(names), image_column, finding_columns)
        except _Flaw as flaw:
            raise flaw.at(path, line) from None

    def _lay_out(self, header: "_Header", image: str | None, findings: Mapping[str, str] | None) -> None:
        self._widths = header.widths
        self._image = header.image(image)
        self._image_name = header.names[self._image]
        self._patient = header.find("Patient ID", "patient", "subject_id")
        self._follow_up = header.column(_parse_follow_up, "Follow-up #")
        self._view = header.column(_parse_view, "View Position", "view", "AP/PA")
        self._sex = header.column(_parse_sex, "Patient Gender", "Sex", "Gender")
        self._age = header.column(_parse_age, "Patient Age", "Age")
        listed = header.find("Finding Labels") if findings is None else _ABSENT
        self.layout = "columns" if listed == _ABSENT else "nih"
        columns = header.findings(findings) if listed == _ABSENT else dict.fromkeys(FINDINGS, listed)
        self.findings = tuple(columns)
        self._label_columns = [*columns.values()] if listed == _ABSENT else [listed]
        parse = _parse_flags if listed == _ABSENT else _parse_listed
        self._labels = _Parsed(partial(parse, [header.names[index] for index in self._label_columns]))

    def fingerprint(self) -> str:
        """Return the SHA-256, in hex, of the file's bytes and of the options that it is read with.

        Raises ManifestError where the file cannot be read any more.
        """
        with _errors_named(self.path), self.path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256")
        # A text holds no zero byte, so the options cannot be taken for more of the file.
        digest.update(b"\0" + json.dumps(self._options).encode())
        return digest.hexdigest()

    def __iter__(self) -> Iterator[ManifestRow]:
        """Stream the rows in the file's order; raise ManifestError at the first bad one."""
        records = _records(self.path)
        if next(records, None) != self._first:
            raise ManifestError(self.path, "the header changed while the file was in use", "Start again.")
        lines: dict[str, int] = {}
        for line, fields in records:
            try:
                row = self._row(line, fields)
                first = lines.setdefault(row.image_index, line)
                if first != line:
                    problem = f"image {_shown(row.image_index)} was already on line {first}"
                    raise _Flaw(problem, "Keep one row for each image.", self._image_name)  # noqa: TRY301
            except _Flaw as flaw:
                raise flaw.at(self.path, line) from None
            yield row
        if not lines:
            raise ManifestError(self.path, "there is a header but no row", "Add a row for each image.")

    def _row(self, line: int, fields: list[str]) -> ManifestRow:
        if len(fields) not in self._widths:
            problem = f"the number of fields is {len(fields)}, in the header {self._widths[0]}"
            raise _Flaw(problem, "Quote a field that contains commas, and keep the comma of a blank one.")
        image = fields[self._image]
        if not image.isprintable() or not image.strip():
            _check_image(self._image_name, image)
        fields.append("")  # the blank cell of every column that is _ABSENT, the last one
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


class _Parsed(dict[K, V], Generic[K, V]):
    """Parses each distinct cell once; the real manifest has 836 distinct label cells in 112,120 rows."""

    def __init__(self, parse: Callable[[K], V]) -> None:
        super().__init__()
        self._parse = parse

    def __missing__(self, cell: K) -> V:
        value = self[cell] = self._parse(cell)
        return value


@dataclass(frozen=True, slots=True)
class _Column(Generic[V]):
    index: int
    values: _Parsed[str, V]


class _Header:
    """Finds columns by name: case, spaces, underscores, hyphens and # do not count."""

    def __init__(self, names: list[str]) -> None:
        self.names = [name.strip() for name in names]
        self._keys = [_key(name) for name in self.names]
        named = max((index + 1 for index, name in enumerate(self.names) if name), default=0)
        # The 2017 release of NIH's file ends its header, and its rows, in a comma.
        self.widths = range(named, len(names) + 1)

    def find(self, *names: str) -> int:
        """Return the index of the first name that the header has, or _ABSENT."""
        for key in map(_key, names):
            if key in self._keys:
                return self._only([index for index, known in enumerate(self._keys) if known == key])
        return _ABSENT

    def column(self, parse: Callable[[str, str], V], *names: str) -> _Column[V]:
        index = self.find(*names)
        return _Column(index, _Parsed(partial(parse, self.names[index])))

    def image(self, option: str | None) -> int:
        if option is not None:
            return self._named(option)
        index = self.find(*_IMAGE_NAMES)
        if index == _ABSENT:
            self._fail("no column is recognised as the image's", "Name it with --image-column.")
        return index

    def findings(self, option: Mapping[str, str] | None) -> dict[str, int]:
        """Return finding -> index of its column."""
        if option is None:
            found = {finding: self.find(finding) for finding in FINDINGS}
            return {finding: index for finding, index in found.items() if index != _ABSENT}
        columns: dict[str, int] = {}
        for name, wanted in option.items():
            finding = _FINDING_OF.get(_key(wanted), wanted.strip())
            if not finding or finding in columns:
                problem = f"the finding {_shown(finding)} is blank or has a second column, {_shown(name)}"
                raise _Flaw(problem, "Give each finding a name and one column.")
            columns[finding] = self._named(name)
        return columns

    def _named(self, name: str) -> int:
        exact = [index for index, known in enumerate(self.names) if known and known == name.strip()]
        index = self._only(exact) if exact else self.find(name) if _key(name) else _ABSENT
        if index == _ABSENT:
            self._fail(f"there is no column {_shown(name)}", "Name one of these.")
        return index

    def _only(self, indexes: list[int]) -> int:
        if len(indexes) > 1:
            names = " and ".join(_shown(self.names[index]) for index in indexes)
            problem = f"{len(indexes)} columns have the same name: {names}"
            raise _Flaw(problem, "Remove or rename all but one.", self.names[indexes[0]])
        return indexes[0]

    def _fail(self, problem: str, advice: str) -> NoReturn:
        if len(self.names) == 1:
            advice += " Columns are separated by commas, not by semicolons or tabs."
        raise _Flaw(f"{problem}; the columns are {_shown(', '.join(self.names), 400)}", advice)


def _key(name: str) -> str:
    return re.sub(r"[\s_#-]+", "", name.casefold())


_FINDING_OF: Final = {_key(finding): finding for finding in FINDINGS}


def _shown(text: str, limit: int = 60) -> str:
    """Quote what a file holds so that it stays on one line."""
    return repr(text if len(text) <= limit else text[:limit] + "…")


def _check_image(column: str, image: str) -> None:
    if not image.strip():
        raise _Flaw("the image's name is blank", "Write its path below the images' root.", column)
    if _CONTROL.search(image):
        problem = f"the image's name {_shown(image)} holds a control character"
        raise _Flaw(problem, "Write its path as it is on disk, on one line.", column)


def _parse_follow_up(column: str, cell: str) -> int | None:
    form = _FOLLOW_UP.fullmatch(cell.strip())
    if form is None and cell.strip():
        raise _Flaw(f"follow-up {_shown(cell)} is not a whole number", "Write 0, 1, 2, or nothing.", column)
    return int(form[1]) if form else None


def _parse_view(_: str, cell: str) -> str | None:
    return cell.strip().upper() or None


def _parse_sex(column: str, cell: str) -> str | None:
    word = cell.strip().casefold()
    if word not in _SEXES and word not in _NO_SEX:
        raise _Flaw(f"sex {_shown(cell)} is none of F, M, O and blank", "Write one of these.", column)
    return _SEXES.get(word)


def _parse_age(column: str, cell: str) -> float | None:
    """Understand 58, 58.5 and DICOM's 060Y, 011M, 003W, 012D; NIH's older release has ages up to 414."""
    form = _AGE.fullmatch(cell.strip().upper())
    if form is None and cell.strip():
        advice = "Write years (60) or a number with Y, M, W or D (011M), or nothing."
        raise _Flaw(f"age {_shown(cell)} is not an age", advice, column)
    return float(form[1]) * _YEARS[form[2]] if form else None


def _parse_flags(columns: list[str], cells: tuple[str, ...]) -> str:
    for column, cell in zip(columns, cells, strict=True):
        if cell.strip() in {"-1", "-1.0"}:
            problem = f"label {_shown(cell)} means uncertain, as in CheXpert, and is not guessed at"
            raise _Flaw(problem, "Decide: 1, 0, or blank for unknown.", column)
        if cell.strip() not in _FLAGS:
            problem = f"label {_shown(cell)} is none of 0, 1 and blank"
            raise _Flaw(problem, "Write 1 for present, 0 for absent, nothing for unknown.", column)
    return "".join(_FLAGS[cell.strip()] for cell in cells)


def _parse_listed(columns: list[str], cells: tuple[str, ...]) -> str:
    """Read NIH's cell: findings separated by |, "No Finding", or blank where nobody looked."""
    column, cell = columns[0], cells[0]
    if not cell.strip():
        return UNKNOWN * len(FINDINGS)
    names = {_key(name): name for name in cell.split("|")}
    healthy = names.pop(_key("No Finding"), None)
    if healthy is not None and names:
        advice = 'Keep either "No Finding" or the findings.'
        raise _Flaw(f"{_shown(cell)} says No Finding and names findings", advice, column)
    for key, name in names.items():
        if key not in _FINDING_OF:
            advice = f"Separate with | some of {', '.join(FINDINGS)}."
            raise _Flaw(f"{_shown(name)} is none of the 14 findings", advice, column)
    return "".join("1" if _key(finding) in names else "0" for finding in FINDINGS)


@contextmanager
def _errors_named(path: Path) -> Iterator[None]:
    """Turn what the file system and gzip raise into ManifestError."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise ManifestError(path, "this is a directory", "Name the CSV file itself.")
        if not stat.S_ISREG(mode):
            # Rows are read more than once, which a pipe cannot do.
            raise ManifestError(path, "this is not a regular file", "Save the manifest as a file first.")
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


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Stream (line on which the record starts, its fields), blank lines left out."""
    start = 1
    with _errors_named(path), _open(path) as stream:
        reader = csv.reader(_lines(path, stream), strict=True)
        try:
            for fields in reader:
                if fields and (len(fields) > 1 or fields[0].strip()):
                    yield start, fields
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
