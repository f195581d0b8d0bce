"""The section "Subgroups": each finding's figures for every group of images, side by side."""

from db.answers import Rows
from db.database import Record
from jobs.report import plots
from jobs.report.rows import Content


def subgroups(rows: Rows) -> Content:
    """Return the subgroups' names, `all` first (none if it is alone), and each finding's rows by subgroup."""
    names = sorted({row["subgroup"] for row in rows}, key=lambda name: (name != "all", name))
    if len(names) == 1:
        names = []
    by_finding: dict[str, dict[str, Record]] = {}
    for row in rows:
        by_finding.setdefault(row["finding"], {})[row["subgroup"]] = row
    return {
        "subgroups": names,
        "by_subgroup": by_finding,
        "whiskers": plots.whisker_plots(names, by_finding) if names else [],
    }
