"""An inventory as two CSV files: the manifest, and what is not in it and why."""

import csv
import io
from collections.abc import Iterable

from jobs.inventory.cases import Cases
from jobs.inventory.film import Film
from jobs.inventory.inventory import Inventory
from jobs.inventory.skips import Skipped
from jobs.tables.layouts.inventory import CARRIED, READ


def manifest_csv(inventory: Inventory) -> bytes:
    """Return the manifest of the films, a row for each."""
    return _csv((*READ, *CARRIED), map(_row, inventory.films))


def cases_csv(found: Cases) -> bytes:
    """Return the manifest of cases of volumes, a row for each with the place of each sequence."""
    rows = (
        (*(case.places[sequence] for sequence in found.sequences), case.patient_id) for case in found.cases
    )
    return _csv((*found.sequences, "Patient ID"), rows)


def skipped_csv(inventory: Inventory | Cases) -> bytes:
    """Return the table of the other files, a row for each."""
    return _csv(("File", "Reason", "Modality"), map(_skipped_row, inventory.skipped))


def _row(film: Film) -> Iterable[object]:
    return (
        film.name,
        film.patient_id,
        film.view,
        film.age,
        film.sex,
        film.study_uid,
        film.series_uid,
        film.sop_uid,
        film.modality,
        film.rows,
        film.columns,
        film.photometric,
        film.row_spacing,
        film.column_spacing,
        film.spacing,
        film.transfer_syntax,
        film.burned_in,
    )


def _skipped_row(file: Skipped) -> Iterable[object]:
    name = file.name if file.name.isprintable() else file.name.encode("unicode_escape").decode()
    return name, file.reason, file.modality


def _csv(header: Iterable[str], rows: Iterable[Iterable[object]]) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return stream.getvalue().encode()
