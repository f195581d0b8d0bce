"""Manifests and their rows: written once, no matter how often they are submitted, and found by their run."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from sqlalchemy import Connection, Integer, Table, Text, delete, func, insert, or_, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.schema import Column, MetaData

from db.database import bulk_insert
from db.errors import UnknownRunError
from db.schema.archives import (
    archive,
    finding,
    image,
    image_left_out,
    manifest,
    manifest_finding,
    manifest_row,
)
from db.schema.evaluations import evaluation
from db.schema.runs import run
from db.states import GONE


class ManifestRow(NamedTuple):
    """One image of the archive as a manifest describes it; what the file leaves blank is None.

    `image_index`: the image's path relative to the images' root, as written. `view_position`: upper-cased.
    `sex`: "F", "M" or "O". `age_years`: in years, also where the file counts months, weeks or days. `labels`:
    one character per finding of the manifest, "1", "0" or "-" for unknown. `files`: of a case of volumes, as
    JSON: the paths of its other files by what they are, such as T1 or Label.
    """

    image_index: str
    patient_id: str | None = None
    follow_up: int | None = None
    view_position: str | None = None
    sex: str | None = None
    age_years: float | None = None
    labels: str = ""
    files: str | None = None


class LeftOut(NamedTuple):
    """An image of a manifest's file that is none of its rows, and the reason; `view_position` as in a row."""

    image_index: str
    view_position: str | None
    reason: str


class Reading(NamedTuple):
    """What was taken of a manifest's file, to be kept with its rows.

    `uncertain`: what an uncertain label counts as. `columns`: what is read -> its column. `labels`: finding
    -> the column of its labels. `unlabelled`: the model's findings without labels. `unused`: column -> what
    it may mean, None where nothing is near. `remarks`: how unusual cells were taken, one line per kind.
    `layout`: the public set whose layout the file has. `words`: a list's word -> the finding that it means.
    """

    uncertain: str
    columns: Mapping[str, str]
    labels: Mapping[str, str]
    unlabelled: Sequence[str]
    unused: Mapping[str, str | None]
    remarks: Sequence[str]
    layout: str | None = None
    words: Mapping[str, str] = {}

    def as_json(self) -> str:
        """Return it as the database keeps it."""
        return json.dumps(self._asdict(), ensure_ascii=False)


_FACTS: Final = ManifestRow._fields[1:]
"""The columns of a row that are kept as they are; the image is kept by its id."""

_staged: Final = Table(
    "staged_row",
    MetaData(),
    Column("row_number", Integer),
    Column("image_index", Text),
    *(Column(name, manifest_row.c[name].type) for name in _FACTS),
    prefixes=["TEMPORARY"],
)


def find_or_write_findings(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """Return the id of each finding by its name, writing those that are new."""
    if names:
        connection.execute(
            upsert(finding).on_conflict_do_nothing(), [{"name": name} for name in sorted(names)]
        )
    known = connection.execute(select(finding.c.name, finding.c.id).where(finding.c.name.in_(names)))
    return {row.name: row.id for row in known}


def archive_id(connection: Connection, root: str) -> int:
    """Return the id of the archive below `root`, making it if it is new."""
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
    rows: Iterable[ManifestRow],
    reading: Reading | None,
    left_out: Sequence[LeftOut] = (),
) -> tuple[int, int]:
    """Return the manifest's id and its number of rows; read `rows` only if the database does not have them.

    `left_out`: images of the file that are none of its rows; complete once these are read.

    Two submits of the same file at the same time: the second waits for the first one's commit, as does who
    would delete its rows. So the caller names the manifest in this transaction.
    """
    added = connection.execute(
        upsert(manifest)
        .values(
            archive_id=archive,
            fingerprint=fingerprint,
            path=path,
            rows=0,
            created_at=datetime.now(UTC),
            uncertain=reading and reading.uncertain,
            reading=reading and reading.as_json(),
        )
        .on_conflict_do_nothing()
        .returning(manifest.c.id)
    ).scalar_one_or_none()
    if added is None:
        row = connection.execute(
            select(manifest.c.id, manifest.c.rows)
            .where(manifest.c.archive_id == archive, manifest.c.fingerprint == fingerprint)
            .with_for_update(key_share=True)
        ).one()
        if row.rows:
            return row.id, row.rows
        added = row.id
        _delete_rest(connection, added)
    ids = find_or_write_findings(connection, findings)
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
    numbered = ((added, number, *image) for number, image in enumerate(left_out, start=1))
    bulk_insert(connection, image_left_out, ("manifest_id", "number", *LeftOut._fields), numbered)
    return added, count


def delete_unneeded(connection: Connection, most: int) -> int:
    """Delete at most so many rows of a manifest that nobody needs any more; returns how many, 0 if none is.

    A run needs its manifest's rows, and those of the labels of its evaluations, until it is deleted. The
    manifest itself stays: figures that are kept name it. From the first on it counts as one without rows.
    """
    needed = or_(
        select(run.c.id).where(run.c.manifest_id == manifest.c.id, run.c.status.not_in(GONE)).exists(),
        select(evaluation.c.id)
        .join(run, run.c.id == evaluation.c.run_id)
        .where(evaluation.c.label_manifest_id == manifest.c.id, run.c.status.not_in(GONE))
        .exists(),
    )
    has_rows = select(manifest_row.c.row_number).where(manifest_row.c.manifest_id == manifest.c.id).exists()
    unneeded = select(manifest.c.id).where(~needed, has_rows)
    for found in connection.execute(unneeded.order_by(manifest.c.id)).scalars().all():
        # Who is about to name it has its row until then; only afterwards can be seen that it is named.
        connection.execute(select(manifest.c.id).where(manifest.c.id == found).with_for_update())
        if connection.execute(unneeded.where(manifest.c.id == found)).first() is None:
            continue
        connection.execute(update(manifest).where(manifest.c.id == found).values(rows=0))
        some = (
            select(manifest_row.c.row_number)
            .where(manifest_row.c.manifest_id == found)
            .order_by(manifest_row.c.row_number)
            .limit(most)
            .subquery()
        )
        last = select(func.max(some.c.row_number)).scalar_subquery()
        deleted = connection.execute(
            delete(manifest_row).where(manifest_row.c.manifest_id == found, manifest_row.c.row_number <= last)
        ).rowcount
        if connection.execute(unneeded.where(manifest.c.id == found)).first() is None:
            _delete_rest(connection, found)
        return deleted
    return 0


def _delete_rest(connection: Connection, manifest_id: int) -> None:
    """Delete all that belongs to a manifest, which has few rows left or none."""
    for table in (manifest_row, image_left_out, manifest_finding):
        connection.execute(delete(table).where(table.c.manifest_id == manifest_id))


class RunManifest(NamedTuple):
    """A run's manifest and the archive of its images, by their ids, and the images' root.

    `bits`: used in its 16-bit pictures, None where each is judged by itself.
    """

    manifest_id: int
    archive_id: int
    root: str
    bits: int | None


def manifest_of(connection: Connection, run_id: int) -> RunManifest:
    """Return a run's manifest; UnknownRunError if there is no such run."""
    found = connection.execute(
        select(manifest.c.id, manifest.c.archive_id, archive.c.root, run.c.bits)
        .join(archive, archive.c.id == manifest.c.archive_id)
        .join(run, run.c.manifest_id == manifest.c.id)
        .where(run.c.id == run_id)
    ).first()
    if found is None:
        raise UnknownRunError(f"there is no run {run_id}; see: nightread status")
    return RunManifest(*found)


def named_patients(connection: Connection, manifest_id: int) -> list[tuple[str, str | None]]:
    """Return the names of a manifest's images, in its order, with their patients."""
    rows = connection.execute(
        select(image.c.image_index, manifest_row.c.patient_id)
        .join(manifest_row, manifest_row.c.image_id == image.c.id)
        .where(manifest_row.c.manifest_id == manifest_id)
        .order_by(manifest_row.c.row_number)
    )
    return [(row.image_index, row.patient_id) for row in rows]


def count_common_images(connection: Connection, manifest_id: int, other_id: int) -> int:
    """Count the images that are in both of two manifests."""
    other = manifest_row.alias()
    common: int = connection.execute(
        select(func.count())
        .select_from(manifest_row)
        .join(other, other.c.image_id == manifest_row.c.image_id)
        .where(manifest_row.c.manifest_id == manifest_id, other.c.manifest_id == other_id)
    ).scalar_one()
    return common


def _write_rows(connection: Connection, manifest_id: int, archive: int, rows: Iterable[ManifestRow]) -> int:
    """Stage the rows, then make new images and the manifest's rows from them with two statements."""
    _staged.drop(connection, checkfirst=True)
    _staged.create(connection)
    numbered = ((number, *row) for number, row in enumerate(rows, start=1))
    bulk_insert(connection, _staged, ("row_number", *ManifestRow._fields), numbered)
    count: int = connection.execute(select(func.count()).select_from(_staged)).scalar_one()
    connection.execute(
        upsert(image)
        .from_select(
            ["archive_id", "image_index"],
            # SQLite needs a WHERE here to distinguish the upsert's ON from a join's.
            select(text(str(int(archive))), _staged.c.image_index)
            .where(text("true"))
            .order_by(_staged.c.row_number),
        )
        .on_conflict_do_nothing()
    )
    connection.execute(
        insert(manifest_row).from_select(
            ["manifest_id", "row_number", "image_id", *_FACTS],
            select(
                text(str(int(manifest_id))),
                _staged.c.row_number,
                image.c.id,
                *(_staged.c[name] for name in _FACTS),
            )
            .join_from(_staged, image, image.c.image_index == _staged.c.image_index)
            .where(image.c.archive_id == archive)
            .order_by(_staged.c.row_number),
        )
    )
    _staged.drop(connection)
    return count
