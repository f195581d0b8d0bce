"""How the bytes of a table become fields: its encoding and the separator of its columns."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from itertools import islice
from typing import Final

HEAD: Final = 1 << 16
"""Bytes from the file's start that decide."""

_SEPARATORS: Final = {",": "commas", ";": "semicolons", "\t": "tabs"}
_UTF_16_MARKS: Final = (b"\xff\xfe", b"\xfe\xff")
_UTF_8: Final = "utf-8-sig"  # with a byte order mark or without


@dataclass(frozen=True, slots=True)
class Dialect:
    """The encoding by Python's name for it, and the character between two fields."""

    encoding: str
    separator: str

    def remarks(self) -> Iterator[str]:
        """Say what differs from a CSV with commas in UTF-8."""
        if self.encoding != _UTF_8:
            yield f"the file is read as {self.encoding.upper()}"
        if self.separator != ",":
            yield f"columns are separated by {_SEPARATORS[self.separator]}"


def dialect_of(head: bytes, encoding: str | None) -> Dialect:
    """Find the dialect of a table from its first HEAD bytes; `encoding` is what a person says it is.

    UTF-16 is known by its mark. The separator is the one that gives most columns, one by which the first row
    has as many as the header before any other. Raises LookupError for an encoding that there is not.
    """
    if encoding is None:
        encoding = "utf-16" if head.startswith(_UTF_16_MARKS) else _UTF_8
    text = head.decode(encoding, errors="replace")
    return Dialect(encoding, max(_SEPARATORS, key=lambda separator: _fit(text, separator)))


def _fit(text: str, separator: str) -> tuple[bool, int]:
    """Return whether header and first row have equally many columns, more than one, and the header's."""
    try:
        whole = (fields for fields in csv.reader(StringIO(text, newline=""), delimiter=separator) if fields)
        counts = [len(fields) for fields in islice(whole, 2)]
    except csv.Error:
        return False, 0
    return bool(counts) and counts[0] > 1 and len(set(counts)) == 1, counts[0] if counts else 0
