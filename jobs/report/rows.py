"""Rows of the views in the order in which a report shows them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from db.answers import Rows, read_rows
from db.database import Connection, Record

Content = dict[str, Any]
"""What a part of the page's template is filled with, by the names in the template."""


def in_order(rows: Rows, findings: Sequence[str], within: Callable[[Record], object] = lambda _: 0) -> Rows:
    """Sort rows by their finding's place in the model, then by `within`."""
    places = {finding: place for place, finding in enumerate(findings)}
    return sorted(rows, key=lambda row: (places.get(row["finding"], len(places)), within(row)))


def spreads_of(
    connection: Connection, run_id: int, image_ids: Iterable[int]
) -> dict[tuple[int, str], float | None]:
    """Return how far an ensemble's members are apart, by image and finding; None for one network."""
    listed = ", ".join(f"{number:d}" for number in sorted(set(image_ids)))
    if not listed:
        return {}
    query = f"""
        SELECT s.image_id, f.name AS finding, s.spread
        FROM score s
        JOIN finding f ON f.id = s.finding_id
        WHERE s.run_id = :run_id AND s.image_id IN ({listed})
        """  # noqa: S608  # made of numbers
    rows = read_rows(connection, query, run_id=run_id)
    return {(row["image_id"], row["finding"]): row["spread"] for row in rows}


def image_names(connection: Connection, image_ids: Iterable[int]) -> dict[int, str]:
    """Return the names of a few images by their ids."""
    listed = ", ".join(f"{number:d}" for number in sorted(set(image_ids)))
    if not listed:
        return {}
    query = f"SELECT id, image_index FROM image WHERE id IN ({listed})"  # noqa: S608  # made of numbers
    return {row["id"]: row["image_index"] for row in read_rows(connection, query)}
