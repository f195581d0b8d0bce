"""Write a manifest's rows once, however often it is submitted."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from sqlalchemy import Connection, Integer, Table, Text, func, insert, select, text
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.schema import Column, MetaData

from db.database import bulk_insert
from db.schema.archives import archive, finding, image, manifest, manifest_finding, manifest_row


class RowValues(NamedTuple):
    """One row of a manifest as it is written; `labels` has one character a finding."""

    row_number: int
    image_index: str
    patient_id: str | None
    follow_up: int | None
    view_position: str | None
    sex: str | None
    age_years: float | None
    labels: str


_staged: Final = Table(
    "staged_row",
    MetaData(),
    Column("row_number", Integer),
    Column("image_index", Text),
    *(Column(name, manifest_row.c[name].type) for name in RowValues._fields[2:]),
    prefixes=["TEMPORARY"],
)


def finding_ids(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """Give the id of each finding, making those that are new."""
    if names:
        connection.execute(
            upsert(finding).on_conflict_do_nothing(), [{"name": name} for name in sorted(names)]
        )
    known = connection.execute(select(finding.c.name, finding.c.id).where(finding.c.name.in_(names)))
    return {name: id_ for name, id_ in known}  # noqa: C416  # rows are not pairs to the type checker


def archive_id(connection: Connection, root: str) -> int:
    """Give the id of the archive below `root`, making it if it is new."""
    connection.execute(upsert(archive).values(root=root).on_conflict_do_nothing())
    found: int = connection.execute(select(archive.c.id).where(archive.c.root == root)).scalar_one()
    return found


def find_or_write_manifest(
    connection: Connection,
    *,
    archive: int,
    fingerprint: str,
    path: str,
    findings: Sequence[str],
    rows: Iterable[RowValues],
) -> tuple[int, int]:
    """Give the manifest's id and its number of rows; read `rows` only if it was never written before.

    Two submits of the same file at the same time: the second waits for the first one's commit.
    """
    added = connection.execute(
        upsert(manifest)
        .values(archive_id=archive, fingerprint=fingerprint, path=path, rows=0, created_at=datetime.now(UTC))
        .on_conflict_do_nothing()
        .returning(manifest.c.id)
    ).scalar_one_or_none()
    if added is None:
        row = connection.execute(
            select(manifest.c.id, manifest.c.rows).where(
                manifest.c.archive_id == archive, manifest.c.fingerprint == fingerprint
            )
        ).one()
        return row.id, row.rows
    ids = finding_ids(connection, findings)
    if findings:
        connection.execute(
            insert(manifest_finding),
            [
                {"manifest_id": added, "finding_id": ids[name], "position": position}
                for position, name in enumerate(findings)
            ],
        )
    count = _write_rows(connection, added, archive, rows)
    connection.execute(manifest.update().where(manifest.c.id == added).values(rows=count))
    return added, count


def _write_rows(connection: Connection, manifest_id: int, archive: int, rows: Iterable[RowValues]) -> int:
    """Stage the rows, then make new images and the manifest's rows of them with two statements."""
    _staged.drop(connection, checkfirst=True)
    _staged.create(connection)
    bulk_insert(connection, _staged, RowValues._fields, rows)
    count: int = connection.execute(select(func.count()).select_from(_staged)).scalar_one()
    facts = RowValues._fields[2:]
    connection.execute(
        upsert(image)
        .from_select(
            ["archive_id", "image_index"],
            # SQLite needs a WHERE here to tell the upsert's ON from a join's.
            select(text(str(int(archive))), _staged.c.image_index)
            .where(text("true"))
            .order_by(_staged.c.row_number),
        )
        .on_conflict_do_nothing()
    )
    connection.execute(
        insert(manifest_row).from_select(
            ["manifest_id", "row_number", "image_id", *facts],
            select(
                text(str(int(manifest_id))),
                _staged.c.row_number,
                image.c.id,
                *(_staged.c[name] for name in facts),
            )
            .join_from(_staged, image, image.c.image_index == _staged.c.image_index)
            .where(image.c.archive_id == archive)
            .order_by(_staged.c.row_number),
        )
    )
    _staged.drop(connection)
    return count
