"""The section "Drift": whether the run is like the one that it was compared with."""

from typing import Final

from db.answers import read_rows
from db.database import Connection, Record
from jobs.report import plots
from jobs.report.rows import Content
from jobs.report.words import finding_in_words, subgroup_in_words

LEVEL: Final = 0.01
"""A corrected p below it is a shift, as for an alert."""

_PLOTTED: Final = 15

_MEASURES: Final = {
    "probability": "Probability",
    "over_threshold": "Share over threshold",
    "feature_distance": "Distance of features",
    "picture_distance": "Distance of greys",
    "brightness": "Brightness",
    "contrast": "Contrast",
    "flagged": "Share that does not pass the gate",
    "age_years": "Age in years",
}


def drift(connection: Connection, run_id: int) -> Content | None:
    """Read the run's newest comparison with a baseline; None where there is none.

    `rows`: of the view `drift`, the most shifted first, with `name` in words and `shifted`.
    """
    rows = read_rows(
        connection,
        """
        SELECT drift_id, measured_at, baseline_id, measure, finding, n, n_baseline, value, value_baseline,
               psi, ks, p, p_holm, reason
        FROM drift WHERE drift_id = (SELECT MAX(drift_id) FROM drift WHERE run_id = :run_id)
        """,
        moments=["measured_at"],
        run_id=run_id,
    )
    if not rows:
        return None
    for row in rows:
        row["name"] = _name(row)
        row["shifted"] = row["p_holm"] is not None and row["p_holm"] < LEVEL
    rows.sort(key=lambda row: (not row["shifted"], -(row["psi"] or 0), row["name"]))
    drawn = [(row["name"], row) for row in rows if row["psi"] is not None][:_PLOTTED]
    return {
        "baseline_id": rows[0]["baseline_id"],
        "measured_at": rows[0]["measured_at"],
        "rows": rows,
        "shifted": sum(row["shifted"] for row in rows),
        "plot": plots.shifts(drawn) if drawn else None,
    }


def _name(row: Record) -> str:
    measure = row["measure"]
    if row["finding"] is not None:
        return f"{_MEASURES.get(measure, measure)}: {finding_in_words(row['finding'])}"
    if measure in _MEASURES:
        return _MEASURES[measure]
    return f"Share: {subgroup_in_words(measure)}"
