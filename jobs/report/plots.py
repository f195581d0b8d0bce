"""The pictures of a report, each as text within the page: plots as SVG, overlays as JPEG."""

import base64
import html
import io
import math
import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from db.database import SqlValue
from jobs.report.rows import Content
from jobs.report.words import finding_in_words, subgroup_in_words

OVERLAY_SIDE: Final = 320
"""The longer side, pixels, of the overlays in a report."""

_GALLERY_CHARACTERS: Final = 3_000_000
"""The page stays below 5 MB, whatever the number of findings and the size of their pictures."""

MOST: Final = 40
"""The number of findings that are drawn; further ones are in the tables only."""

_JPEG_QUALITY: Final = 78

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
}

OVERLAY_COLOURS: Final = "inferno"
"""The overlays' colour map, by the name that OpenCV and Matplotlib have for it."""

_FOREST_WIDTH: Final = 6.9
"""Inches: the width of a journal's page."""

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
Points = Sequence[tuple[float, float]]

Radiograph = Callable[[str], NDArray[np.uint8] | None]
"""From an image's name to its pixels, (h, w) grey or (h, w, 3) RGB; None where it cannot be read."""


def plots(
    rows: Sequence[Row], curves: Mapping[tuple[str, str], Points], bins: Mapping[str, Sequence[Row]]
) -> dict[str, Content]:
    """Draw each finding's curves: `drawn`, pairs of row and SVG, and `missing`, findings by the reason.

    `rows`: of the view `auc`, with `card`, the row of the view `thresholds` at the card's threshold, or None.
    `curves`: points by finding and curve. `bins`: rows of the view `calibration` with an image, by finding.
    """
    found: dict[str, Content] = {}
    for kind in ("roc", "precision_recall", "calibration"):
        drawn: list[tuple[Row, str]] = []
        missing: dict[str, list[str]] = {}
        for row in rows:
            name = row["finding"]
            values = bins.get(name) if kind == "calibration" else curves.get((name, kind))
            if values and len(drawn) < MOST:
                drawn.append((row, _DRAW[kind](row, values)))
            else:
                reason = f"beyond the first {MOST}" if values else row["reason"] or "no curve was stored"
                missing.setdefault(reason, []).append(name)
        found[kind] = {"drawn": drawn, "missing": missing}
    return found


@_styled
def _roc(row: Row, points: Points) -> str:
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
def _precision_recall(row: Row, points: Points) -> str:
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


_DRAW: Final[Mapping[str, Callable[..., str]]] = {
    "roc": _roc,
    "precision_recall": _precision_recall,
    "calibration": _calibration,
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
    axes = figure.add_axes((0.4, bottom, 0.56, top - bottom))
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
    axes.set_yticks(range(len(rows)), [subgroup_in_words(name) for name, _ in rows])
    axes.tick_params(length=0)
    axes.grid(visible=False, axis="y")
    return _svg(figure, f"AUROC of {finding_in_words(finding)} by subgroup: {'; '.join(spoken)}")


def forest(rows: Sequence[Row], sound: Container[str], averaged: Row | None) -> tuple[str, str]:
    """Draw the AUROC of all findings with its interval, the best first, and their mean.

    `rows`: of the view `auc`. `sound`: the findings in the mean; the others are hollow. `averaged`: of the
    view `auc_mean`. Returns the picture for the page, and as a file of its own, black on white.
    """
    ordered = sorted(rows, key=lambda row: -row["auroc"])[:MOST]
    mean = averaged if averaged and averaged["findings"] else None
    return _forest(ordered, sound, mean, _svg), _forest(ordered, sound, mean, _svg_file)


@_styled
def _forest(
    rows: Sequence[Row], sound: Container[str], mean: Row | None, write: Callable[[Figure, str], str]
) -> str:
    lines = len(rows) + (2 if mean else 0)
    figure = Figure(figsize=(_FOREST_WIDTH, 0.75 + 0.235 * lines))
    bottom, top = 0.45 / figure.get_figheight(), 1 - 0.3 / figure.get_figheight()
    axes = figure.add_axes((0.33, bottom, 0.42, top - bottom))
    entries = [(finding_in_words(row["finding"]), row["n_positive"], row["auroc"], row) for row in rows]
    spoken = []
    for place, (name, positive, auroc, row) in enumerate(entries):
        firm = row["finding"] in sound
        _whisker(axes, place, auroc, row, _BLUE if firm else _SOFT, "o", firm=firm)
        spoken.append(_row_of_forest(axes, place, name, f"{positive:,}", auroc, row))
    if mean:
        below = len(entries) + 0.5
        axes.axhline(below - 0.8, color=_RULE, linewidth=0.8, xmin=-0.8, xmax=1.6, clip_on=False)
        _whisker(axes, below, mean["mean_auroc"], mean, _ORANGE, "D", firm=True)
        name = f"Mean of {mean['findings']}"
        spoken.append(_row_of_forest(axes, below, name, "", mean["mean_auroc"], mean))
    for at, text, side in (
        (-0.78, "Finding", "left"),
        (-0.05, "Positive", "right"),
        (1.05, "AUROC (95% interval)", "left"),
    ):
        axes.text(
            at, -1.0, text, transform=axes.get_yaxis_transform(), va="center", ha=side, fontweight="bold"
        )
    axes.axvline(0.5, color="black", linestyle=":", linewidth=1)
    axes.set(xlim=_limits(rows), ylim=(lines - 0.5, -0.6), xlabel="AUROC")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(visible=False, axis="y")
    return write(figure, f"AUROC of each finding with its 95% interval: {'; '.join(spoken)}")


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
    axes.text(-0.78, place, name, transform=at, va="center", ha="left")
    axes.text(-0.05, place, positive, transform=at, va="center", ha="right")
    axes.text(1.05, place, f"{auroc:.3f}{interval}", transform=at, va="center", ha="left")
    return f"{name} {auroc:.3f}{interval}"


def _limits(rows: Sequence[Row]) -> tuple[float, float]:
    """Return the axis: to 1, and from half, or from below the lowest interval in steps of 0.1."""
    lowest = min((row["auroc"] if row["ci_low"] is None else row["ci_low"]) for row in rows)
    return max(0.0, min(0.5, math.floor(10 * lowest) / 10)) - 0.02, 1.02


def colour_bar() -> str:
    """Draw the overlays' colours from weak to strong."""
    colours = colormaps[OVERLAY_COLOURS](range(0, 256, 17))
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
    figure: Figure, axes: Axes, points: Points, at_card: tuple[float, float] | None, label: str
) -> str:
    axes.plot(*zip(*points, strict=True), color=_BLUE, linewidth=1.8)
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


def gallery(
    folder: Path, findings: Iterable[str], highest: Iterable[Row], radiograph: Radiograph
) -> list[tuple[str, list[Row]]]:
    """Return each finding that has overlays with its rows of `highest` and the pictures for them.

    `highest`: every finding's first before any second, as no picture is added once the page is full.
    A row's `bare` is the radiograph in the overlay's size, None where it cannot be read.
    """
    room = _GALLERY_CHARACTERS
    shown: dict[str, list[Row]] = {finding: [] for finding in findings}
    for row in highest:
        picture = _overlay(folder / row["overlay_path"])
        if "source" in picture:
            picture["bare"] = _bare(radiograph(row["image_index"]), picture["width"], picture["height"])
        taken = len(picture.get("source", "")) + len(picture.get("bare") or "")
        if taken > room:
            picture, taken = {"problem": "left out, as the page would become too large"}, 0
        room -= taken
        shown[row["finding"]].append({**row, **picture})
    return [(finding, rows) for finding, rows in shown.items() if rows]


def _overlay(path: Path) -> Content:
    """Read an overlay for the page: `source` (a data URL), `width` and `height`, or `problem`, a sentence."""
    try:
        with Image.open(path, formats=("JPEG", "PNG")) as picture:
            small = picture.convert("RGB")
    except FileNotFoundError:
        return {"problem": "its file is missing"}
    except OSError as error:
        return {"problem": f"its file cannot be read: {error.strerror or 'it is not a whole picture'}"}
    small.thumbnail((OVERLAY_SIDE, OVERLAY_SIDE), Image.Resampling.LANCZOS)
    return {"source": _data_url(small), "width": small.width, "height": small.height}


def _bare(pixels: NDArray[np.uint8] | None, width: int, height: int) -> str | None:
    if pixels is None:
        return None
    return _data_url(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))


def _data_url(picture: Image.Image) -> str:
    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(encoded.getvalue()).decode()
