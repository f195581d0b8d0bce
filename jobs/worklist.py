"""The worklist of a run: its images in the order in which somebody should look, with why, as a file."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from math import ceil
from pathlib import Path
from typing import Final

from config.files import write_whole
from db.answers import Rows, read_rows
from db.database import Database
from jobs.report.templates import environment

COLUMNS: Final = (
    "place",
    "image_index",
    "patient_id",
    "finding",
    "probability",
    "threshold",
    "percentile",
    "flagged",
    "peak_x",
    "peak_y",
    "box_x",
    "box_y",
    "box_width",
    "box_height",
    "overlay_path",
    "spread",
)

FORMATS: Final = (".csv", ".html", ".json")


@dataclass(frozen=True, slots=True)
class Worth:
    """How well the order does: of the labelled images, how many positive ones come in the first tenth.

    An image is positive if its label is 1 for any finding of the manifest, and negative if all labels are 0.
    """

    images: int
    positive: int
    first: int
    found: int

    @property
    def share(self) -> float | None:
        """The share of the positive images that is found in the first tenth; None without a positive one."""
        return self.found / self.positive if self.positive else None

    def sentence(self) -> str:
        """Say what was measured."""
        if self.share is None:
            return "How well the order does is unknown: no image has a positive label."
        return (
            f"The first {self.first:,} of {self.images:,} labelled images (10%) hold {self.found:,} of the "
            f"{self.positive:,} positive ones ({self.share:.0%})."
        )


def read_worklist(database: Database, run_id: int, limit: int | None = None) -> tuple[Rows, Worth]:
    """Read a run's worklist, at most `limit` rows of it, and how well its order does."""
    with database.read_only() as connection:
        rows = read_rows(
            connection,
            f"SELECT {', '.join(COLUMNS)}, positive FROM worklist WHERE run_id = :run_id ORDER BY place",  # noqa: S608
            run_id=run_id,
        )
    labels = [row.pop("positive") for row in rows]
    return rows[:limit], worth_of(labels)


def worth_of(labels: Sequence[int | None]) -> Worth:
    """Count the positive images in the first tenth, rounded up, of labels (1, 0, None) in this order."""
    known = [label for label in labels if label is not None]
    first = ceil(len(known) / 10)
    return Worth(len(known), sum(known), first, sum(known[:first]))


def write_worklist(run_id: int, rows: Rows, worth: Worth, path: Path) -> None:
    """Write a worklist as the path's ending says, whole or not at all; raises OSError."""
    made = {".csv": _csv, ".json": _json, ".html": _html}[path.suffix.lower()]
    write_whole(path, made(run_id, rows, worth).encode())


def _csv(_run_id: int, rows: Rows, _worth: Worth) -> str:
    written = io.StringIO(newline="")
    writer = csv.DictWriter(written, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue()


def _json(run_id: int, rows: Rows, worth: Worth) -> str:
    measured = {
        "labelled_images": worth.images,
        "positive_images": worth.positive,
        "first_tenth": worth.first,
        "positive_in_first_tenth": worth.found,
    }
    return json.dumps({"run_id": run_id, "measured": measured, "images": rows}, indent=1) + "\n"


def _html(run_id: int, rows: Rows, worth: Worth) -> str:
    page = environment().get_template("worklist.html.j2")
    ensemble = any(row["spread"] is not None for row in rows)
    return page.render(
        run_id=run_id, rows=rows, worth=worth, ensemble=ensemble, nightread=version("nightread")
    )
