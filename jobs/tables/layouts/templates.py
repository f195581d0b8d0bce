"""Templates for the names of images, such as `files/p{subject_id:.2}/{dicom_id}.jpg`, filled from a row."""

from collections.abc import Callable, Sequence
from string import Formatter

from jobs.tables.columns import ABSENT, ColumnError, Header, shown


def template_columns(template: str, header: Header) -> list[str]:
    """Return the columns that a template names; raise ColumnError where there is none, or no such one."""
    return [header.names[index] for _, index, _ in _parts(template, header) if index != ABSENT]


def filler(template: str, header: Header) -> Callable[[Sequence[str]], str]:
    """Return the function that fills a template from a row's cells.

    A part in braces is a column, after a colon perhaps the number of letters to take of it: {subject_id:.2}.
    A name of which a column is blank is blank.
    """
    parts = _parts(template, header)

    def fill(cells: Sequence[str]) -> str:
        if any(index != ABSENT and not cells[index].strip() for _, index, _ in parts):
            return ""
        return "".join(
            text + ("" if index == ABSENT else cells[index].strip()[:length]) for text, index, length in parts
        )

    return fill


def _parts(template: str, header: Header) -> list[tuple[str, int, int | None]]:
    """Split a template into texts, each with the column after it and how many letters of that are taken."""
    parts: list[tuple[str, int, int | None]] = []
    try:
        for text, name, length, _ in Formatter().parse(template):
            index = ABSENT if name is None else header.named(name)
            parts.append((text, index, int(length.removeprefix(".")) if length else None))
    except ValueError:
        problem = f"{shown(template)} is no template for names"
        advice = "Write columns in braces: files/p{subject_id:.2}/{dicom_id}.jpg."
        raise ColumnError(problem, advice) from None
    if all(index == ABSENT for _, index, _ in parts):
        header.fail(f"the template {shown(template)} names no column", "Write some of these in braces.")
    return parts
