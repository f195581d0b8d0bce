"""The sections of a run of volumes: agreement with labels, and its cases with the worst first."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from db.answers import Rows, read_rows
from db.database import Connection, Record
from jobs.kinds.segmentation import MEASURES
from jobs.report import plots
from jobs.report.rows import Content, in_order

PICTURES: Final = 12
"""How many cases are shown as pictures."""

_TABLE: Final = 100
"""How many cases are listed; SQL has the others."""


def segments(connection: Connection, run_id: int, findings: Sequence[str]) -> Content:
    """Read the content of the sections; `findings`: classes and regions in the model's order."""
    rows = read_rows(
        connection,
        """
        SELECT s.image_index, s.finding, s.kind, s.voxels, s.ml, s.components, s.dice, s.hd95_mm, s.reason,
               v.labelled, v.planes_path
        FROM segments s
        JOIN volumes v ON v.run_id = s.run_id AND v.image_index = s.image_index
        WHERE s.run_id = :run_id
        """,
        run_id=run_id,
    )
    summary = read_rows(
        connection,
        """
        SELECT finding, measure, cases, left_out, mean, low, high, median, reason
        FROM segment_summary
        WHERE run_id = :run_id
          AND evaluation_id = (SELECT MAX(evaluation_id) FROM segment_summary WHERE run_id = :run_id)
        """,
        run_id=run_id,
    )
    dice = in_order([row for row in summary if row["measure"] == "dice"], findings)
    cases = _cases(rows, findings)
    return {
        "findings": [name for name in findings if any(row["finding"] == name for row in rows)],
        "summary": in_order(summary, findings, lambda row: [*MEASURES].index(row["measure"])),
        "plot": plots.dice_plot(dice, _dices(rows)) if any(row["cases"] for row in dice) else None,
        "mean_dice": [row for row in dice if row["mean"] is not None],
        "cases": cases[:_TABLE],
        "all_cases": len(cases),
        "labelled": sum(bool(case["labelled"]) for case in cases),
    }


def _cases(rows: Rows, findings: Sequence[str]) -> list[Record]:
    """Gather the rows of each case; the worst mean Dice of its classes first, those without one last."""
    of: dict[str, Rows] = defaultdict(list)
    for row in in_order(rows, findings):
        of[row["image_index"]].append(row)
    cases = []
    for image_index, found in of.items():
        known = [row["dice"] for row in found if row["kind"] == "class" and row["dice"] is not None]
        cases.append(
            {
                "image_index": image_index,
                "labelled": found[0]["labelled"],
                "planes_path": found[0]["planes_path"],
                "mean_dice": sum(known) / len(known) if known else None,
                "of": {row["finding"]: row for row in found},
            }
        )
    return sorted(
        cases,
        key=lambda case: (
            case["mean_dice"] is None,
            case["mean_dice"] or 0.0,
            str(case["image_index"]),
        ),
    )


def _dices(rows: Rows) -> dict[str, list[float]]:
    dices: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        if row["dice"] is not None:
            dices[row["finding"]].append(row["dice"])
    return dices
