"""The plots of a report, each as SVG within the page."""

import html
import io
import math
import re
from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from db.database import SqlValue
from jobs.report.rows import Content
from jobs.report.words import finding_in_words, subgroup_in_words

MOST: Final = 40
"""The number of findings that are drawn; further ones are in the tables only."""

# Okabe and Ito's colours, which colour-blind eyes can distinguish (jfly.uni-koeln.de/color). The page sets
# them and black for its light and its dark ground, so the SVG names the page's variables instead.
_BLUE: Final = "#0072b2"
_ORANGE: Final = "#d55e00"
_SOFT: Final = "#777777"
_RULE: Final = "#cccccc"
_OF_PAGE: Final = {
    _BLUE: "var(--blue)",
    _ORANGE: "var(--orange)",
    _SOFT: "var(--soft)",
    _RULE: "var(--rule)",
    "#000000": "currentColor",
    "#ffffff": "var(--paper)",  # hollow marks, which hide the line behind them
}

_OVERLAY_COLOURS: Final = "inferno"
"""The overlays' colour map, by the name that OpenCV and Matplotlib have for it."""

_MARKS: Final = "v^sxD+"
_LEGEND_COLUMNS: Final = 3
"""Of published sources, which have a shape each; the table has those beyond the last shape."""

_BINS: Final = 40

_FOREST_WIDTH: Final = 6.9
"""Inches: the width of a journal's page."""

_BAND: Final = 0.22
"""Opacity of what is filled, through which lines are seen."""

_SIDE: Final = 2.4  # inches of 72 units; the page scales a plot to its column
_styled = mpl.rc_context(
    {
        "font.size": 10.0,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": _RULE,
        "grid.linewidth": 0.6,
        "svg.fonttype": "none",
        "text.parse_math": False,  # a subgroup may be named with a dollar
    }
)
_NO_METADATA: Final = dict.fromkeys(("Creator", "Date", "Format", "Type"))

Row = Mapping[str, SqlValue]
Histogram = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Images labelled absent, and those labelled present, in equal bins of probability from 0 to 1."""


def plots(rows: Sequence[Row], data: Mapping[str, Mapping[str, Any]]) -> dict[str, Content]:
    """Draw each finding's curves: `drawn`, pairs of row and SVG, and `missing`, findings by the reason.

    `rows`: of the view `auc`, with `card`, the row of the view `thresholds` at the card's threshold, or None.
    `data`: what is drawn, by the plot's kind and the finding: rows of the view `curves`, rows of the view
    `calibration` that have an image, and histograms.
    """
    found: dict[str, Content] = {}
    for kind, draw in _DRAW.items():
        drawn: list[tuple[Row, str]] = []
        missing: dict[str, list[str]] = {}
        for row in rows:
            name = row["finding"]
            values = data[kind].get(name)
            if values is not None and len(drawn) < MOST:
                drawn.append((row, draw(row, values)))
            else:
                shown = values is not None
                reason = f"beyond the first {MOST}" if shown else row["reason"] or "no curve was stored"
                missing.setdefault(reason, []).append(name)
        found[kind] = {"drawn": drawn, "missing": missing}
    return found


@_styled
def _roc(row: Row, points: Sequence[Row]) -> str:
    figure, axes = _square("1 \N{MINUS SIGN} specificity", "sensitivity")
    axes.plot([0, 1], [0, 1], color=_SOFT, linestyle="--", linewidth=1)
    at_card = None
    label = f"ROC curve of {finding_in_words(row['finding'])}: AUROC {_figure(row['auroc'])}"
    if row["ci_low"] is not None:
        label += f", 95% interval {_figure(row['ci_low'])} to {_figure(row['ci_high'])}"
    label += f"; {row['n_positive']} positive and {row['n_negative']} negative images"
    card = row["card"]
    if card and card["sensitivity"] is not None and card["specificity"] is not None:
        at_card = (1 - card["specificity"], card["sensitivity"])
        label += f"; at the card's threshold sensitivity {_figure(card['sensitivity'])}"
        label += f", specificity {_figure(card['specificity'])}"
    return _curve(figure, axes, points, at_card, label)


@_styled
def _precision_recall(row: Row, points: Sequence[Row]) -> str:
    figure, axes = _square("recall", "precision")
    prevalence = row["n_positive"] / (row["n_positive"] + row["n_negative"])
    axes.axhline(prevalence, color="black", linestyle=":", linewidth=1)
    at_card = None
    label = (
        f"Precision-recall curve of {finding_in_words(row['finding'])}: "
        f"average precision {_figure(row['average_precision'])}"
    )
    if row["average_precision_low"] is not None:
        bounds = (_figure(row[f"average_precision_{bound}"]) for bound in ("low", "high"))
        label += f", 95% interval {' to '.join(bounds)}"
    label += f"; share of positive images {_figure(prevalence)}"
    card = row["card"]
    if card and card["ppv"] is not None and card["sensitivity"] is not None:
        at_card = (card["sensitivity"], card["ppv"])
        label += f"; at the card's threshold recall {_figure(card['sensitivity'])}"
        label += f", precision {_figure(card['ppv'])}"
    return _curve(figure, axes, points, at_card, label)


@_styled
def _calibration(row: Row, bins: Sequence[Row]) -> str:
    figure, axes = _square("mean probability", "share positive")
    axes.plot([0, 1], [0, 1], color=_SOFT, linestyle="--", linewidth=1)
    means, shares, images = (
        [bin_[name] for bin_ in bins] for name in ("mean_probability", "share_positive", "images")
    )
    for bin_ in bins:
        if bin_["share_low"] is not None:
            at = bin_["mean_probability"]
            axes.plot([at, at], [bin_["share_low"], bin_["share_high"]], color=_BLUE, linewidth=0.8)
    axes.plot(means, shares, color=_BLUE, linewidth=1, marker="o", markersize=4)
    label = f"Calibration of {finding_in_words(row['finding'])}: Brier score {_figure(row['brier'])}"
    label += f", expected calibration error {_figure(row['calibration_error'])}"
    label += f"; {sum(images)} images in {len(bins)} bins"
    return _svg(figure, label)


@_styled
def _scores(row: Row, histogram: Histogram) -> str:
    figure, axes = _square("probability", "share of images")
    absent, present = histogram
    edges = np.linspace(0, 1, absent.size + 1)
    highest = 0.0
    for counts, colour, line in ((present, _ORANGE, "-"), (absent, _BLUE, "--")):
        if counts.any():
            shares = counts / counts.sum()
            highest = max(highest, float(shares.max()))
            if counts is present:
                axes.stairs(shares, edges, fill=True, color=colour, alpha=_BAND)
            axes.stairs(shares, edges, color=colour, linewidth=1.4, linestyle=line)
    top = max(highest, 0.01) * 1.05
    axes.set(ylim=(0, top))
    axes.set_yticks([0, top / 1.05], ["0", f"{top / 1.05:.2g}"])
    label = f"Probabilities of {finding_in_words(row['finding'])}"
    for counts, whose in ((present, "present"), (absent, "absent")):
        label += f"; {counts.sum():,} images labelled {whose}"
        if counts.any():
            middle = np.searchsorted(np.cumsum(counts), counts.sum() / 2)
            label += f", the median between {edges[middle]:.2f} and {edges[middle + 1]:.2f}"
    card = row["card"]
    if card and card["threshold"] is not None:
        axes.axvline(card["threshold"], color="black", linestyle=":", linewidth=1)
        label += f"; threshold {_figure(card['threshold'])}"
    return _svg(figure, label)


_DRAW: Final[Mapping[str, Callable[..., str]]] = {
    "roc": _roc,
    "precision_recall": _precision_recall,
    "calibration": _calibration,
    "scores": _scores,
}


def whisker_plots(
    subgroups: Sequence[str], by_finding: Mapping[str, Mapping[str, Row]]
) -> list[tuple[str, str]]:
    """Draw each finding's AUROC with its interval, per subgroup: pairs of finding and SVG."""
    return [
        (finding, _whiskers(finding, [(name, rows.get(name, {})) for name in subgroups]))
        for finding, rows in list(by_finding.items())[:MOST]
        if any(row["auroc"] is not None for row in rows.values())
    ]


@_styled
def _whiskers(finding: str, rows: Sequence[tuple[str, Row]]) -> str:
    figure = Figure(figsize=(_SIDE, 0.55 + 0.19 * len(rows)))
    bottom, top = 0.42 / figure.get_figheight(), 1 - 0.06 / figure.get_figheight()
    axes = figure.add_axes((0.52, bottom, 0.44, top - bottom))
    spoken = []
    for place, (name, row) in enumerate(rows):
        auroc, low, high = (row.get(part) for part in ("auroc", "ci_low", "ci_high"))
        if auroc is None:
            axes.text(0.03, place, "none", va="center", fontsize=9, fontstyle="italic")
            spoken.append(f"{subgroup_in_words(name)} none")
            continue
        interval = ""
        if low is not None and high is not None:
            axes.plot([low, high], [place, place], color=_BLUE, linewidth=1.5)
            interval = f" ({_figure(low)} to {_figure(high)})"
        marker, colour = ("D", _ORANGE) if name == "all" else ("o", _BLUE)
        axes.plot([auroc], [place], marker, color=colour, markersize=5)
        spoken.append(f"{subgroup_in_words(name)} {_figure(auroc)}{interval}")
    axes.axvline(0.5, color="black", linestyle=":", linewidth=1)
    axes.set(xlim=(0, 1.03), ylim=(len(rows) - 0.4, -0.6), xlabel="AUROC")
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_yticks(range(len(rows)), [subgroup_in_words(name) for name, _ in rows], fontsize=8.5)
    axes.tick_params(length=0)
    axes.grid(visible=False, axis="y")
    return _svg(figure, f"AUROC of {finding_in_words(finding)} by subgroup: {'; '.join(spoken)}")


def forest(
    rows: Sequence[Row], sound: Container[str], averaged: Row | None, references: Mapping[str, Content]
) -> tuple[str, str]:
    """Draw the AUROC of all findings with its interval, the best first, and their mean.

    `rows`: of the view `auc`. `sound`: the findings in the mean; the others are hollow. `averaged`: of the
    view `auc_mean`. `references`: published AUROCs by source, as `sections.auroc.published` returns them.
    Returns the picture for the page, and as a file of its own, black on white.
    """
    ordered = sorted(rows, key=lambda row: -row["auroc"])[:MOST]
    mean = averaged if averaged and averaged["findings"] else None
    drawn = (_forest(ordered, sound, mean, references, write) for write in (_svg, _svg_file))
    on_page, alone = drawn
    return on_page, alone


@_styled
def _forest(
    rows: Sequence[Row],
    sound: Container[str],
    mean: Row | None,
    references: Mapping[str, Content],
    write: Callable[[Figure, str], str],
) -> str:
    lines = len(rows) + (2 if mean else 0)
    legend = 0.2 * math.ceil(len(references) / _LEGEND_COLUMNS)
    figure = Figure(figsize=(_FOREST_WIDTH, 0.75 + 0.235 * lines + legend))
    bottom, top = (0.45 + legend) / figure.get_figheight(), 1 - 0.3 / figure.get_figheight()
    axes = figure.add_axes((0.32, bottom, 0.4, top - bottom))
    entries = [(finding_in_words(row["finding"]), row["n_positive"], row["auroc"], row) for row in rows]
    spoken = []
    for place, (name, positive, auroc, row) in enumerate(entries):
        firm = row["finding"] in sound
        _whisker(axes, place, auroc, row, _BLUE if firm else _SOFT, "o", firm=firm)
        spoken.append(_row_of_forest(axes, place, name, f"{positive:,}", auroc, row))
    marks = dict(zip(references, _MARKS, strict=False))
    for place, row in enumerate(rows):
        for source, mark in marks.items():
            known = references[source]["of"].get(row["finding"])
            if known:
                _mark(axes, known["auroc"], place + 0.3, mark)
    if marks:
        handles = [_mark(axes, math.nan, 0, mark) for mark in marks.values()]
        figure.legend(
            handles,
            [f"{source}, published" for source in marks],
            loc="lower center",
            ncols=_LEGEND_COLUMNS,
            frameon=False,
            fontsize=8.5,
            borderaxespad=0.1,
            labelspacing=0.25,
            handletextpad=0.1,
            columnspacing=1.2,
        )
    if mean:
        below = len(entries) + 0.5
        axes.axhline(below - 0.8, color=_RULE, linewidth=0.8, xmin=-0.8, xmax=1.6, clip_on=False)
        _whisker(axes, below, mean["mean_auroc"], mean, _ORANGE, "D", firm=True)
        name = f"Mean of {mean['findings']}"
        spoken.append(_row_of_forest(axes, below, name, "", mean["mean_auroc"], mean))
    for at, text, side in (
        (-0.79, "Finding", "left"),
        (-0.05, "Positive", "right"),
        (1.05, "AUROC (95% interval)", "left"),
    ):
        axes.text(
            at, -1.0, text, transform=axes.get_yaxis_transform(), va="center", ha=side, fontweight="bold"
        )
    axes.axvline(0.5, color="black", linestyle=":", linewidth=1)
    shown = [row["auroc"] if row["ci_low"] is None else row["ci_low"] for row in rows]
    shown += [of["auroc"] for source in references.values() for of in source["of"].values()]
    axes.set(xlim=_limits(shown), ylim=(lines - 0.5, -0.6), xlabel="AUROC")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")
    label = f"AUROC of each finding with its 95% interval: {'; '.join(spoken)}"
    if marks:
        label += f"; beside them published AUROCs of other test sets: {', '.join(marks)}"
    return write(figure, label)


@_styled
def dice_plot(rows: Sequence[Row], dices: Mapping[str, Sequence[float]]) -> str:
    """Draw each class's and region's Dice: the cases, and their mean with its interval.

    `rows`: of the view `segment_summary`, measure dice, in their order. `dices`: of the cases, by finding.
    """
    drawn = [row for row in rows if row["mean"] is not None][:MOST]
    figure = Figure(figsize=(_FOREST_WIDTH, 0.75 + 0.4 * len(drawn)))
    bottom, top = 0.45 / figure.get_figheight(), 1 - 0.15 / figure.get_figheight()
    axes = figure.add_axes((0.25, bottom, 0.7, top - bottom))
    spread = np.random.default_rng(0)
    spoken = []
    for place, row in enumerate(drawn):
        values = dices.get(row["finding"], ())
        heights = place + spread.uniform(-0.22, 0.22, len(values))
        axes.plot(values, heights, "o", color=_SOFT, markersize=3, markerfacecolor="none", linestyle="none")
        bounds = {"ci_low": row["low"], "ci_high": row["high"]}
        _whisker(axes, place, row["mean"], bounds, _ORANGE, "D", firm=True)
        interval = "" if row["low"] is None else f", {_figure(row['low'])} to {_figure(row['high'])}"
        spoken.append(f"{row['finding']} {_figure(row['mean'])}{interval}")
    axes.set(xlim=(-0.02, 1.02), ylim=(len(drawn) - 0.5, -0.5), xlabel="Dice")
    axes.set_yticks(range(len(drawn)), [str(row["finding"]) for row in drawn])
    axes.grid(visible=False, axis="y")
    return _svg(figure, f"Mean Dice with its 95% interval: {'; '.join(spoken)}")


def _mark(axes: Axes, auroc: float, place: float, mark: str) -> Line2D:
    """Draw a published AUROC: small, hollow and grey."""
    (drawn,) = axes.plot(
        [auroc], [place], mark, color=_SOFT, markersize=3.6, markerfacecolor="none", markeredgewidth=0.8
    )
    return drawn


def _whisker(
    axes: Axes, place: float, auroc: float, row: Row, colour: str, marker: str, *, firm: bool
) -> None:
    if row["ci_low"] is not None and row["ci_high"] is not None:
        axes.plot([row["ci_low"], row["ci_high"]], [place, place], color=colour, linewidth=1.4)
    axes.plot(
        [auroc],
        [place],
        marker,
        color=colour,
        markersize=6 if marker == "D" else 5,
        markerfacecolor=colour if firm else "white",
    )


def _row_of_forest(axes: Axes, place: float, name: str, positive: str, auroc: float, row: Row) -> str:
    """Write a row's words and figures beside its whisker; returns them as one text."""
    low, high = row["ci_low"], row["ci_high"]
    interval = "" if low is None or high is None else f" ({low:.3f}\N{EN DASH}{high:.3f})"
    at = axes.get_yaxis_transform()
    axes.text(-0.79, place, name, transform=at, va="center", ha="left")
    axes.text(-0.05, place, positive, transform=at, va="center", ha="right")
    axes.text(1.05, place, f"{auroc:.3f}{interval}", transform=at, va="center", ha="left")
    return f"{name} {auroc:.3f}{interval}"


def _limits(shown: Sequence[float]) -> tuple[float, float]:
    """Return the axis: to 1, and from half, or from below the lowest of what is shown in steps of 0.1."""
    return max(0.0, min(0.5, math.floor(10 * min(shown)) / 10)) - 0.02, 1.02


@_styled
def shifts(rows: Sequence[tuple[str, Row]]) -> str:
    """Draw the population stability index of each row of the view `drift`, named in words."""
    figure = Figure(figsize=(_FOREST_WIDTH, 0.55 + 0.235 * len(rows)))
    bottom, top = 0.42 / figure.get_figheight(), 1 - 0.06 / figure.get_figheight()
    axes = figure.add_axes((0.5, bottom, 0.46, top - bottom))
    spoken = []
    for place, (name, row) in enumerate(rows):
        colour = _ORANGE if row["shifted"] else _SOFT
        axes.plot([0, row["psi"]], [place, place], color=colour, linewidth=1.4)
        axes.plot(
            [row["psi"]],
            [place],
            "D" if row["shifted"] else "o",
            color=colour,
            markersize=5,
            markerfacecolor=colour if row["shifted"] else "white",
        )
        spoken.append(f"{name} {row['psi']:.3f}{', shifted' if row['shifted'] else ''}")
    axes.set(xlim=(0, None), ylim=(len(rows) - 0.4, -0.6), xlabel="Population stability index (PSI)")
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.tick_params(length=0)
    axes.grid(visible=False, axis="y")
    return _svg(figure, f"The largest shifts against the baseline: {'; '.join(spoken)}")


@_styled
def distances(values: Mapping[str, NDArray[np.float64]]) -> str:
    """Draw how many images lie at which distance of the gate, by the distance's name in words."""
    figure = Figure(figsize=(1.9 * _SIDE, _SIDE))
    axes = figure.add_axes((0.12, 0.2, 0.84, 0.68))
    end = max(2.0, *(float(np.quantile(each, 0.99)) for each in values.values()))
    edges = np.linspace(0, end, _BINS + 1)
    spoken = []
    for (name, each), (colour, line) in zip(values.items(), ((_BLUE, "-"), (_ORANGE, "--")), strict=True):
        counts, _ = np.histogram(np.minimum(each, end), edges)
        axes.stairs(counts, edges, color=colour, linewidth=1.4, linestyle=line, label=name)
        spoken.append(f"{name}: median {np.median(each):.2f}, {np.count_nonzero(each > 1):,} above 1")
    axes.axvline(1, color="black", linestyle=":", linewidth=1)
    axes.set(xlabel="distance; above 1 it does not pass", ylabel="images", xlim=(0, end))
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, borderaxespad=0)
    return _svg(
        figure, f"Distances of the images from those that the gate was fitted on; {'; '.join(spoken)}"
    )


def colour_bar() -> str:
    """Draw the overlays' colours from weak to strong."""
    colours = colormaps[_OVERLAY_COLOURS](range(0, 256, 17))
    step = 100 / len(colours)
    bars = "".join(
        f'<rect x="{step * place:.2f}" width="{step + 0.2:.2f}" height="6" fill="{to_hex(colour)}"/>'
        for place, colour in enumerate(colours)
    )
    label = "Colours of the heatmaps, from weak evidence on the left to strong on the right"
    return (
        f'<svg class="bar" role="img" aria-label="{label}" viewBox="0 0 100 6" preserveAspectRatio="none">'
        f"{bars}</svg>"
    )


def _figure(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.3f}"


def _square(xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(_SIDE, _SIDE))
    axes = figure.add_axes((0.2, 0.2, 0.76, 0.76))
    axes.set(xlabel=xlabel, ylabel=ylabel, xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.tick_params(length=2, pad=2)
    return figure, axes


def _curve(
    figure: Figure, axes: Axes, points: Sequence[Row], at_card: tuple[float, float] | None, label: str
) -> str:
    band = [point for point in points if point["y_low"] is not None]
    if band:
        x, low, high = ([point[name] for point in band] for name in ("x", "y_low", "y_high"))
        axes.fill_between(x, low, high, color=_BLUE, alpha=_BAND, linewidth=0)
    x, y = ([point[name] for point in points] for name in ("x", "y"))
    axes.plot(x, y, color=_BLUE, linewidth=1.8)
    if at_card is not None:
        axes.plot(*at_card, "D", color=_ORANGE, markersize=5.5, clip_on=False)
    return _svg(figure, label)


def _svg_file(figure: Figure, label: str) -> str:
    """Write a figure as a file of its own, with `label` as its description."""
    written = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": label, "font.family": ["Helvetica", "Arial", "sans-serif"]}):
        figure.savefig(written, format="svg", metadata=_NO_METADATA | {"Description": label})
    return written.getvalue()


def _svg(figure: Figure, label: str) -> str:
    """Write a figure as SVG with `label` as its alternative text; the same figure gives the same bytes."""
    figure.patch.set_visible(False)
    for axes in figure.axes:
        axes.patch.set_visible(False)
    written = io.StringIO()
    # One page holds many plots, and an id may occur only once: each plot's ids are salted with its label.
    with mpl.rc_context({"svg.hashsalt": label}):
        figure.savefig(written, format="svg", metadata=_NO_METADATA)
    svg = written.getvalue().partition("<svg")[2].partition(">")[2]
    for pattern, replacement in (
        (r"<style.*?</style>", ""),  # it would be about the whole page
        (r' id="[\w.]+_\d+"', ""),  # names of the figure's parts, the same in each
        (r"font-family: [^;\"]*; ?", ""),  # the page's own
        (r"(\.\d)\d+(?=[^<>]*>)", r"\1"),  # a tenth of a unit is less than a pixel
        (r"\s*\n\s*", " "),
    ):
        svg = re.sub(pattern, replacement, svg, flags=re.DOTALL)
    for colour, variable in _OF_PAGE.items():
        svg = svg.replace(colour, variable)
    width, height = 72 * figure.get_figwidth(), 72 * figure.get_figheight()
    return f'<svg role="img" aria-label="{html.escape(label)}" viewBox="0 0 {width:.1f} {height:.1f}">{svg}'
