"""The section "Subgroups": each finding's figures for every group of images, side by side."""

from typing import Any

from db.answers import Rows
from jobs.report import plots


def subgroups(rows: Rows) -> dict[str, Any]:
    """Give the subgroups' names, `all` first, and a finding's rows by them; nothing where `all` is alone."""
    names = sorted({row["subgroup"] for row in rows}, key=lambda name: (name != "all", name))
    if len(names) == 1:
        names = []
    by_finding: dict[str, dict[str, Any]] = {}
    for row in rows:
        by_finding.setdefault(row["finding"], {})[row["subgroup"]] = row
    return {
        "subgroups": names,
        "by_subgroup": by_finding,
        "whiskers": plots.whisker_plots(names, by_finding) if names else [],
    }
