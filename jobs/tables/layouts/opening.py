"""From the files that a person names to one table in a manifest's form, and the layout it was read as."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from config.findings import FINDINGS
from jobs.tables.columns import ABSENT, ColumnError, Header
from jobs.tables.errors import TableError
from jobs.tables.layouts.join import join, keep_listed, keep_split
from jobs.tables.layouts.known import layout_of
from jobs.tables.layouts.layout import SetLayout
from jobs.tables.layouts.shape import Shape
from jobs.tables.reading import ReadOptions
from jobs.tables.spellings import Vocabulary
from jobs.tables.table import Table


class Opened(NamedTuple):
    """A table in a manifest's form, how it came into it, the layout, and the files that were joined to it."""

    table: Table
    shape: Shape
    layout: SetLayout | None
    joined: Sequence[Path]


def open_tables(path: Path, told: ReadOptions, findings: Sequence[str] = FINDINGS, root: str = "") -> Opened:
    """Open a manifest and the tables that are joined to it. `findings` are the model's.

    Of several tables, the one with a row per image is the one that is read; it may be any of them.

    Raises TableError where a file cannot be read, or does not fit.
    """
    tables = [
        Table(each, "A manifest", "image", encoding=told.encoding, sheet=told.sheet, root=root)
        for each in (path, *map(Path, told.join))
    ]
    if told.sheet is not None and not any(table.file.has_sheets for table in tables):
        raise TableError(path, f"--sheet {told.sheet}: this is no workbook", "Leave the option out.")
    headed = [table for table in tables if table is tables[0] or table.headed]
    try:
        layout = layout_of([name for table in headed for name in table.names], told.layout)
        base = _base(headed, layout)
        vocabulary = Vocabulary(findings, layout.words if layout else None)
        shape = Shape(base.names, base.records(), root=root, vocabulary=vocabulary)
        _shape(shape, told, layout, [table for table in tables if table is not base])
        _require_use(shape, told)
    except ColumnError as flaw:
        raise tables[0].located(flaw) from None
    if shape.changed:
        base.reshape(shape.names, shape.records, shape.origins)
    return Opened(base, shape, layout, [table.path for table in tables if table is not base])


def _shape(shape: Shape, told: ReadOptions, layout: SetLayout | None, others: Sequence[Table]) -> None:
    """Join the other tables, keep the rows that are wanted, and bring them into a manifest's form."""
    for table in others:
        if table.headed:
            join(shape, table)
        shape.notes += [f"{table.path.name}: {remark}" for remark in table.file.remarks()]
    if told.split is not None:
        keep_split(shape, told.split)
    if told.image_column is not None:
        shape.facts["image"] = told.image_column
    elif told.image_name is not None:
        shape.image(told.image_name)
    if layout is not None:
        layout.reshape(shape, told)
    for table in others:
        if not table.headed:
            keep_listed(shape, shape.names[shape.header.image(shape.facts.get("image"))], table)


def _require_use(shape: Shape, told: ReadOptions) -> None:
    """Raise ColumnError for an option that says how a table is read which has nothing of the kind."""
    for option, value, what in (
        ("blank", told.blank, "labels of CheXpert's labeler, as CheXpert, MIMIC-CXR and BRAX do"),
        ("readers", told.readers, "several readers, as VinDr-CXR's tables do"),
    ):
        if value != ReadOptions.model_fields[option].default and option not in shape.obeyed:
            raise ColumnError(f"--{option} {value}: the table does not have {what}", "Leave the option out.")


def _base(tables: Sequence[Table], layout: SetLayout | None) -> Table:
    """Return the table with a row per image."""
    if layout is None or not layout.row:
        return tables[0]
    for table in tables:
        header = Header(table.names)
        if all(header.find(name) != ABSENT for name in layout.row):
            return table
    if layout.lacking:
        raise ColumnError(f"this table of {layout.title} has no row per image", f"{layout.lacking}.")
    return tables[0]
