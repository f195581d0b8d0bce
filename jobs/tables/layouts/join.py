"""Joining tables of one set: by the identifiers that two of them have in common, or by a list of images."""

from typing import Final

from jobs.tables.columns import ABSENT, IMAGE_NAMES, ColumnError, shown
from jobs.tables.layouts.shape import Shape
from jobs.tables.spellings import key_of
from jobs.tables.table import Table

_IMAGES: Final = {*map(key_of, IMAGE_NAMES), "pathtoimage"}


def join(shape: Shape, other: Table) -> None:
    """Add the columns of another table, by the identifiers that both have.

    Raises ColumnError where there are none, and TableError where a row of it is there twice and differs.
    """
    common = [name for name in other.names if name and shape.header.find(name) != ABSENT]
    keys = [name for name in common if key_of(name) in _IMAGES or key_of(name).endswith("id")]
    if not keys:
        columns = shown(", ".join(other.names), 400)
        problem = f"no column of {other.path.name} identifies a row here; its columns are {columns}"
        raise ColumnError(problem, "Join tables that name the image, the study or the patient alike.")
    added = [index for index, name in enumerate(other.names) if name and name not in common]
    found = _rows(other, [other.names.index(name) for name in keys], added)
    places = [shape.header.find(name) for name in keys]
    blank = ("",) * len(added)
    matched = False
    alone = shape.counter(f"rows without anything in {other.path.name}, its columns left blank")

    def append(fields: list[str]) -> bool:
        nonlocal matched
        cells = found.get(_key(fields, places))
        fields.extend(blank if cells is None else cells)
        if cells is None:
            alone[""] += 1  # not the key, which may be a patient
        else:
            matched = True
        return True

    def check() -> None:
        if not matched:
            problem = f"no row has anything in {other.path.name} by {', '.join(keys)}"
            raise ColumnError(problem, "Join tables of the same set and release.")

    shape.names += [other.names[index] for index in added]
    shape.origins |= {other.names[index]: other.path.name for index in added}
    shape.notes.append(f"joined {other.path.name} by {', '.join(keys)}")
    shape.each(append, alone)
    shape.checks.append(check)
    ignored = [name for name in common if name not in keys]
    if ignored:
        names = ", ".join(map(shown, ignored))
        shape.notes.append(f"columns of {other.path.name} that are there already, not used: {names}")


def keep_listed(shape: Shape, image: str, listed: Table) -> None:
    """Keep the rows whose image is in a list of images, by its whole name or the last part of it."""
    names = {fields[0].strip() for _, fields in listed.records()}
    seen: set[str] = set()

    def wanted(name: str) -> bool:
        part = next((part for part in (name.strip(), name.strip().rpartition("/")[2]) if part in names), None)
        if part is not None:
            seen.add(part)
        return part is not None

    def check() -> None:
        if not seen:
            problem = f"no image is in the list {listed.path.name}"
            raise ColumnError(problem, "Join a list that names images as the table does.", image)
        if len(seen) < len(names):
            missing = len(names) - len(seen)
            shape.notes.append(f"images of {listed.path.name} that are in no row: {missing:,}")

    what = f"rows whose image is not in {listed.path.name}, left out"
    shape.keep(image, wanted, what, examples=False)
    shape.checks.append(check)


def keep_split(shape: Shape, split: str) -> None:
    """Keep the rows of one part of the set: those whose column `split` says so."""
    index = shape.header.find("split")
    if index == ABSENT:
        shape.header.fail(f"--split {split}: no column is 'split'", "Add the table that has it: --join.")
    column = shape.names[index]
    found = False

    def wanted(cell: str) -> bool:
        nonlocal found
        same = cell.strip().casefold() == split.casefold()
        found = found or same
        return same

    def check() -> None:
        if not found:
            there = ", ".join(sorted(left))
            raise ColumnError(f"--split {split}: no row is of it", f"There are {there}.", column)

    left = shape.keep(column, wanted, f"rows of another split than {split}, left out")
    shape.used.add(column)
    shape.checks.append(check)


def _rows(other: Table, keys: list[int], added: list[int]) -> dict[tuple[str, ...], tuple[str, ...]]:
    width = max([*keys, *added]) + 1
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    same: dict[str, str] = {}  # one string for equal cells: there are a few words in millions of cells
    for line, fields in other.records():
        if len(fields) < width:
            problem = f"the number of fields is {len(fields)}, in the header {len(other.names)}"
            raise other.error(problem, "Keep the separator of a blank field.", line)
        cells = tuple(same.setdefault(fields[index], fields[index]) for index in added)
        if found.setdefault(_key(fields, keys), cells) != cells:
            problem = f"a second row for the same {', '.join(other.names[index] for index in keys)} differs"
            raise other.error(problem, "Keep one row for each.", line)
    return found


def _key(fields: list[str], indexes: list[int]) -> tuple[str, ...]:
    """Return the cells that identify a row; numbers that a program has written as 1.0 are 1."""
    return tuple(fields[index].strip().removesuffix(".0") for index in indexes)
