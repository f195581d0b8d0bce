"""Rows of the views in the order in which a report shows them."""

from collections.abc import Callable, Sequence
from typing import Any

from db.answers import Rows
from db.database import Record

Content = dict[str, Any]
"""What a part of the page's template is filled with, by the names in the template."""


def in_order(rows: Rows, findings: Sequence[str], within: Callable[[Record], object] = lambda _: 0) -> Rows:
    """Sort rows by their finding's place in the model, then by `within`."""
    places = {finding: place for place, finding in enumerate(findings)}
    return sorted(rows, key=lambda row: (places.get(row["finding"], len(places)), within(row)))
