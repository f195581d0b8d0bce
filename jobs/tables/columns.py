"""The columns of a table: which is which, and how their cells are read.

An error in them is raised as `ColumnError`, to which `jobs.tables.table` adds the file and the line.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Generic, NoReturn, TypeVar

from jobs.tables.spellings import Vocabulary, key_of

ABSENT: Final = -1
"""Index of a recognised column that the file does not have."""

IMAGE_NAMES: Final = (
    *("Image Index", "Image", "image_path", "image_name", "image_id"),
    *("path", "file_path", "filename", "file"),
)
ODD_NAME: Final = re.compile(r"^\s|\s$|\\|^/|//|/$|(?:^|/)\.(?:/|$)")
"""What `plain_name` may change in an image's name."""

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")

K = TypeVar("K")
V = TypeVar("V")


class ColumnError(Exception):
    """A header or a cell that cannot be read; it never leaves jobs.tables, where it becomes a TableError.

    `column` is the name of the column, if the problem is in one; `line` where whoever catches it cannot know.
    """

    def __init__(self, problem: str, advice: str, column: str | None = None, line: int | None = None) -> None:
        super().__init__(problem, advice, column, line)
        self.problem = problem
        self.advice = advice
        self.column = column
        self.line = line

    def at(self, line: int) -> "ColumnError":
        """Return the same error with its line."""
        return ColumnError(self.problem, self.advice, self.column, line)


class Parsed(dict[K, V], Generic[K, V]):
    """Parses each distinct cell once; the real manifest has 836 distinct label cells in 112,120 rows."""

    def __init__(self, parse: Callable[[K], V]) -> None:
        super().__init__()
        self._parse = parse

    def __missing__(self, cell: K) -> V:
        value = self[cell] = self._parse(cell)
        return value


@dataclass(frozen=True, slots=True)
class Column(Generic[V]):
    """A column's index, and what its cells mean."""

    index: int
    values: Parsed[str, V]


class Header:
    """Finds columns by name, whatever the case and the blanks in it; see `key_of`."""

    def __init__(self, names: list[str]) -> None:
        self.names = [name.strip() for name in names]
        self._keys = [key_of(name) for name in self.names]
        named = max((index + 1 for index, name in enumerate(self.names) if name), default=0)
        # The 2017 release of NIH's file ends its header, and its rows, in a comma.
        self.widths = range(named, len(names) + 1)

    def find(self, *names: str) -> int:
        """Return the index of the first name that the header has, or ABSENT."""
        for key in map(key_of, names):
            if key in self._keys:
                return self._only([index for index, known in enumerate(self._keys) if known == key])
        return ABSENT

    def known(self, option: str | None, *names: str) -> int:
        """Return the index of the column that `option` names, else of the first of these names, or ABSENT."""
        return self.find(*names) if option is None else self.named(option)

    def column(self, parse: Callable[[str, str], V], option: str | None, *names: str) -> Column[V]:
        """Return the column that `known` finds, or one of blank cells at ABSENT."""
        index = self.known(option, *names)
        return Column(index, Parsed(partial(parse, self.names[index])))

    def image(self, option: str | None) -> int:
        """Return the index of the images' column: the one `option` names, else a recognised one."""
        index = self.known(option, *IMAGE_NAMES)
        if index == ABSENT:
            self.fail("no column is recognised as the image's", "Name it with --image-column.")
        return index

    def findings(self, vocabulary: Vocabulary, option: Mapping[str, str] | None) -> dict[str, int]:
        """Return finding -> index of its column: those of `option`, and those recognised beside them."""
        wanted: dict[str, int] = {}
        for name, word in (option or {}).items():
            finding = vocabulary.finding(word) or word.strip()
            if not finding or finding in wanted:
                problem = f"the finding {shown(finding)} is blank or has a second column, {shown(name)}"
                raise ColumnError(problem, "Give each finding a name and one column.")
            wanted[finding] = self.named(name)
        recognised: dict[str, list[int]] = {}
        for index, name in enumerate(self.names):
            found = vocabulary.finding(name)
            if found is not None and found not in wanted and index not in wanted.values():
                recognised.setdefault(found, []).append(index)
        columns = wanted | {finding: self._only(indexes) for finding, indexes in recognised.items()}
        ordered = (*vocabulary.findings, *wanted)
        return {finding: columns[finding] for finding in dict.fromkeys(ordered) if finding in columns}

    def named(self, name: str) -> int:
        """Return the index of the column that an option names; raise ColumnError where there is none."""
        exact = [index for index, known in enumerate(self.names) if known and known == name.strip()]
        index = self._only(exact) if exact else self.find(name) if key_of(name) else ABSENT
        if index == ABSENT:
            self.fail(f"there is no column {shown(name)}", "Name one of these.")
        return index

    def _only(self, indexes: list[int]) -> int:
        if len(indexes) > 1:
            names = " and ".join(shown(self.names[index]) for index in indexes)
            problem = f"{len(indexes)} columns have the same name, or names that mean the same: {names}"
            advice = "Remove or rename all but one, or say which it is: --help lists the options for columns."
            raise ColumnError(problem, advice, self.names[indexes[0]])
        return indexes[0]

    def fail(self, problem: str, advice: str) -> NoReturn:
        """Raise ColumnError: the problem, the columns that there are, and what to do."""
        if len(self.names) == 1:
            advice += " Columns are separated by commas, semicolons or tabs."
        raise ColumnError(f"{problem}; the columns are {shown(', '.join(self.names), 400)}", advice)


def shown(text: str, limit: int = 60) -> str:
    """Quote a file's text so that it stays on one line."""
    return repr(text if len(text) <= limit else text[:limit] + "…")


def plain_name(name: str, root: str = "") -> str:
    """Return the name of an image as a path below `root` (absolute, or blank where it is not known).

    Backslashes become slashes; blanks at its ends, `./`, doubled slashes and the root itself are left out.
    What leads out of the root stays as it is, for the source to refuse.
    """
    path = name.strip().replace("\\", "/")
    if root and path.startswith(f"{root.rstrip('/')}/"):
        path = path.removeprefix(root.rstrip("/")).lstrip("/")
    absolute = "/" if path.startswith("/") else ""
    return absolute + "/".join(part for part in path.split("/") if part not in {"", "."})


def refuse_width(fields: list[str], expected: str) -> NoReturn:
    """Raise ColumnError: the number of fields, and what it should be."""
    problem = f"the number of fields is {len(fields)}, {expected}"
    raise ColumnError(problem, "Quote a field that contains commas, and keep the comma of a blank one.")


def check_image(column: str, image: str) -> None:
    """Raise ColumnError where an image's name is blank or holds a control character."""
    if not image.strip():
        raise ColumnError("the image's name is blank", "Write its path below the images' root.", column)
    if _CONTROL.search(image):
        problem = f"the image's name {shown(image)} holds a control character"
        raise ColumnError(problem, "Write its path as it is on disk, on one line.", column)
