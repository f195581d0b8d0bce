"""A table on its way to a manifest's form: columns made of others, rows left out or put together."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from jobs.tables.columns import ABSENT, ColumnError, Header, refuse_width, shown
from jobs.tables.files.file import Record
from jobs.tables.layouts.templates import filler, template_columns
from jobs.tables.spellings import Vocabulary

_SAMPLE: Final = 50
"""Rows by which it is decided how a set's files are named below the root."""

_EXAMPLES: Final = 3

BOXES: Final = "its boxes are read by: nightread evaluate RUN --boxes"
"""Said of a table that has boxes beside the labels."""

Stage = Callable[[Iterator[Record]], Iterator[Record]]


class Shape:
    """The columns and records of a table, and what has been done to them.

    `facts`: what is read (image, patient, view, …) -> its column, where it has no usual name. `listed`: the
    column that lists findings, "" if a usual one. `about`: findings that a list is about though it may name
    none of them. `used`: columns that others were made of. `notes`: what is to be said. `origins`: column ->
    the file that it was joined from. `obeyed`: options that made a difference. `readers`: their
    names, complete once all records have been through.
    """

    def __init__(
        self,
        names: Sequence[str],
        records: Iterable[Record],
        *,
        root: str = "",
        vocabulary: Vocabulary | None = None,
    ) -> None:
        """Take a header and the records after it, of which only the first few are looked at.

        `root` is the folder of the images, blank where it is not known; `vocabulary` the model's findings.
        """
        self.names = [name.strip() for name in names]
        self.root = root
        self.vocabulary = vocabulary or Vocabulary()
        self.facts: dict[str, str] = {}
        self.listed = ""
        self.about: tuple[str, ...] = ()
        self.used: set[str] = set()
        self.notes: list[str] = []
        self.origins: dict[str, str] = {}
        self.obeyed: set[str] = set()
        self.readers: set[str] = set()
        self.checks: list[Callable[[], None]] = []
        self._widths = Header([*names]).widths
        self._stages: list[Stage] = [self._whole]
        self._left: dict[str, Counter[str]] = {}
        wide = ((line, [*fields]) for line, fields in records if len(fields) in self._widths)
        self._sample = [*self._whole(islice(wide, _SAMPLE))]

    @property
    def header(self) -> Header:
        """The columns as they are now."""
        return Header(self.names)

    @property
    def changed(self) -> bool:
        """Whether anything has been done to the table."""
        return len(self._stages) > 1

    def records(self, found: Iterator[Record]) -> Iterator[Record]:
        """Bring records into the form that they have now; raises ColumnError, with its line."""
        for stage in self._stages:
            found = stage(found)
        return found

    def remarks(self) -> Iterator[str]:
        """Say what was done, once all records have been through; raises ColumnError where none fits."""
        for check in self.checks:
            check()
        yield from self.notes
        for what, cells in self._left.items():
            if cells:
                yield f"{what}: {cells.total():,}{_examples(cells)}"

    # --- what a layout does to its table

    def add(self, name: str, columns: Sequence[str], make: Callable[..., str]) -> None:
        """Append a column made of the cells of others; that of a column which there is not is blank."""
        indexes = [self.header.find(column) for column in columns]
        self.used |= {self.names[index] for index in indexes if index != ABSENT}

        def append(fields: list[str]) -> bool:
            fields.append(make(*["" if index == ABSENT else fields[index] for index in indexes]))
            return True

        self.names.append(name)
        self.each(append)

    def change(self, column: str, make: Callable[[str], str]) -> None:
        """Change the cells of a column."""
        index = self.header.named(column)

        def put(fields: list[str]) -> bool:
            fields[index] = make(fields[index])
            return True

        self.each(put)

    def keep(
        self, column: str, wanted: Callable[[str], bool], what: str, *, examples: bool = True
    ) -> Counter[str]:
        """Leave out the rows whose cell is not wanted; they are counted and said as `what`."""
        index = self.header.named(column)
        left = self.counter(what)

        def kept(fields: list[str]) -> bool:
            if wanted(fields[index]):
                return True
            left[fields[index].strip() if examples else ""] += 1
            return False

        self.each(kept, left)
        return left

    def image(self, *ways: str) -> None:
        """Make the images' names by that of these templates by which most files of the sample are there."""
        if "image" in self.facts:
            return
        way = max(ways, key=self._found) if self.root else ways[0]
        columns = template_columns(way, self.header)
        if way == f"{{{columns[0]}}}":
            self.facts["image"] = columns[0]
            return
        fill = filler(way, self.header)

        def append(fields: list[str]) -> bool:
            fields.append(fill(fields))
            return True

        self.used |= set(columns)
        self.names.append(way)
        self.facts["image"] = way
        self.each(append)

    def group(self, column: str, names: Sequence[str], merge: Callable[[list[list[str]]], list[str]]) -> None:
        """Put the rows with the same cell in a column together, in the order of the first of each."""
        index = self.header.named(column)
        self.used |= {name for name in self.names if name and name not in names}

        def grouped(found: Iterator[Record]) -> Iterator[Record]:
            groups: dict[str, tuple[int, list[list[str]]]] = {}
            for line, fields in found:
                groups.setdefault(fields[index].strip(), (line, []))[1].append(fields)
            for line, rows in groups.values():
                yield line, merge(rows)

        self.names = [*names]
        self.stage(grouped)

    def each(self, change: Callable[[list[str]], bool], counted: Counter[str] | None = None) -> None:
        """Change each record in place; one for which `change` returns False is left out."""

        def stage(found: Iterator[Record]) -> Iterator[Record]:
            if counted is not None:
                counted.clear()
            for line, fields in found:
                try:
                    kept = change(fields)
                except ColumnError as flaw:
                    raise flaw.at(line) from None
                if kept:
                    yield line, fields

        self.stage(stage)

    def stage(self, stage: Stage) -> None:
        """Add a stage that all records go through."""
        self._stages.append(stage)
        self._sample = [*stage(iter(self._sample))]

    def counter(self, what: str) -> Counter[str]:
        """Return a count of cells that is said as `what` if there are any."""
        return self._left.setdefault(what, Counter())

    def _whole(self, found: Iterator[Record]) -> Iterator[Record]:
        """Give each record as many fields as the header has names."""
        width = self._widths.stop - 1
        for line, fields in found:
            if len(fields) not in self._widths:
                try:
                    refuse_width(fields, f"in the header {self._widths[0]}")
                except ColumnError as flaw:
                    raise flaw.at(line) from None
            yield line, fields + [""] * (width - len(fields))

    def _found(self, way: str) -> int:
        fill = filler(way, self.header)
        return sum(_is_there(self.root, fill(fields)) for _, fields in self._sample)


def _examples(cells: Counter[str]) -> str:
    """Show the most frequent cells; none where the count is of rows alone, all under a blank."""
    if [*cells] == [""]:
        return ""
    examples = ", ".join(f"{rows:,} {shown(cell)}" for cell, rows in cells.most_common(_EXAMPLES))
    return f" ({examples}{', …' if len(cells) > _EXAMPLES else ''})"


def _is_there(root: str, name: str) -> bool:
    try:
        return Path(root, name).is_file()
    except (OSError, ValueError):  # a name too long, or with a zero byte
        return False
