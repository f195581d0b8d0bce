"""Runs of volumes, whose answers are segments."""

from collections.abc import Sequence
from typing import Final

from db.database import SqlRow
from db.queries import segment_table
from jobs.console import figure, interval, print_table, say
from jobs.kinds.kind import AnswerKind

MEASURES: Final = {
    "dice": "Dice",
    "soft_dice": "Dice of probabilities",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "hd95_mm": "HD95, mm",
    "assd_mm": "ASSD, mm",
}
"""Of segments, by their columns in SQL."""

REASONS: Final = {
    "no_label": "the case has no label",
    "no_reference": "the label has nothing of it",
    "no_prediction": "nothing was found",
    "neither": "neither mask nor label has anything of it",
}
"""Why measures of a segment are NULL."""

_SHOWN_MEASURES: Final = ("dice", "hd95_mm")
"""At a run's end; the view segment_summary has more."""

_NO_SCORES: Final = (
    "is of volumes, which have no scores: its rows are in the view segments, and its cases in nightread "
    "browse {run} and nightread report {run}"
)


def _print_agreement(rows: Sequence[SqlRow], title: str) -> None:
    if not rows:
        say(f"{title}: no case has a label; what was found in each is in the view segments")
        return
    print_table(
        ("class or region", "measure", "cases", "left out", "mean", "95% interval", "median", ""),
        (
            (
                row.finding,
                MEASURES[row.measure],
                row.cases,
                row.left_out,
                figure(row.mean),
                interval(row.low, row.high),
                figure(row.median),
                row.reason,
            )
            for row in rows
            if row.measure in _SHOWN_MEASURES
        ),
        title=title,
    )


KIND: Final = AnswerKind(
    noun="case",
    view="segments",
    figures="segments",
    read_figures=segment_table,
    print_figures=_print_agreement,
    beside="masks and pictures",
    objects=("dicom-seg",),
    report="jobs.report.segmentation:REPORT",
    unsuited={
        **dict.fromkeys(("calibrate", "compare", "heatmap", "worklist"), _NO_SCORES),
        "evaluate": "is of volumes, whose labels are compared while they are segmented; score them again "
        "with a manifest that has the other labels",
    },
)
