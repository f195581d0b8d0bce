"""JSON lines: one object per line, such as the labels of CheXpert Plus."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Final

from jobs.tables.errors import TableError, Unit
from jobs.tables.files.file import Record
from jobs.tables.files.text import lines_of
from jobs.tables.files.texts import text_of

_ADVICE: Final = "Write one object per line, such as by pandas' to_json(path, orient='records', lines=True)."


class JsonLines:
    """A file of JSON objects, in UTF-8; a path that ends in .gz is read through gzip."""

    unit: ClassVar[Unit] = "line"
    has_sheets: ClassVar[bool] = False

    def __init__(self, path: Path, *_: object) -> None:
        """Take the file."""
        self._path = path

    def records(self) -> Iterator[Record]:
        """Give the first object's keys as the header, on line 0, and each object's values in their order."""
        names: dict[str, str] = {}
        with lines_of(self._path, "utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                values = self._object(line, number)
                if not names:
                    names = dict.fromkeys(values, "")
                    yield 0, [*names]
                strange = next((name for name in values if name not in names), None)
                if strange is not None:
                    problem = "the first object does not have this key"
                    advice = "Give it all keys that others have."
                    raise TableError(self._path, problem, advice, number, strange)
                yield number, [text_of(value) for value in (names | values).values()]

    def remarks(self) -> Iterator[str]:
        """Say what kind of file it is."""
        yield "the file is read as JSON lines"

    def _object(self, line: str, number: int) -> dict[str, object]:
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            raise TableError(self._path, "this line is no JSON", _ADVICE, number) from None
        if not isinstance(values, dict):
            raise TableError(self._path, "this line is no JSON object", _ADVICE, number)
        return values
