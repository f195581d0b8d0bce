"""What every table is made of: one metadata, moments in UTC, keys, references and checks."""

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, TypeVar

from sqlalchemy import Column, DateTime, Dialect, ForeignKey, Integer, MetaData, Text, TypeDecorator

metadata: Final = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC; SQLite, which has no time zones, keeps it without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Write UTC."""
        if value is None:
            return None
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(
        self,
        value: datetime | None,
        _dialect: Dialect,
    ) -> datetime | None:
        """Read UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


StateEnum = TypeVar("StateEnum", bound=StrEnum)


class State(TypeDecorator[StateEnum]):
    """A word of db/states.py, written as it is and read as its enum's member."""

    impl = Text
    cache_ok = True

    def __init__(self, states: type[StateEnum]) -> None:
        """`states`: the enum whose words the column holds."""
        super().__init__()
        self.states = states

    def process_result_value(
        self,
        value: str | None,
        _dialect: Dialect,
    ) -> StateEnum | None:
        """Read the member."""
        return None if value is None else self.states(value)


def id_column() -> Column[int]:
    """Make a table's own key."""
    return Column("id", Integer, primary_key=True)


def reference(name: str, target: str, *, primary_key: bool = False) -> Column[int]:
    """Make a column that refers to a row of another table; `target` is its TABLE.COLUMN."""
    return Column(name, Integer, ForeignKey(target), nullable=False, primary_key=primary_key)


def is_one_of(column: str, words: Iterable[str]) -> str:
    """Return the SQL that asks whether a column holds one of some words."""
    listed = ",".join(f"'{word}'" for word in words)
    return f"{column} IN ({listed})"
