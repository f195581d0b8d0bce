"""How the report asks the views: rows as dictionaries, in the order of the model's findings."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, text

from db.schema import UtcDateTime

Rows = list[dict[str, Any]]


def read_rows(connection: Connection, query: str, moments: Sequence[str] = (), **values: Any) -> Rows:
    """Read a query's rows; `moments` names the columns that are times."""
    asked = text(query).columns(**dict.fromkeys(moments, UtcDateTime))
    return [dict(row) for row in connection.execute(asked, values).mappings()]


def in_order(
    rows: Rows, findings: Sequence[str], within: Callable[[dict[str, Any]], Any] = lambda _: 0
) -> Rows:
    """Sort rows by their finding's place in the model, then by `within`."""
    places = {finding: place for place, finding in enumerate(findings)}
    return sorted(rows, key=lambda row: (places.get(row["finding"], len(places)), within(row)))
