"""Pictures of a training: its curve, and how often each finding occurs in the splits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from matplotlib.figure import Figure

from workers.training.splits import Split

# Okabe and Ito's colours, which colour-blind eyes can distinguish (jfly.uni-koeln.de/color).
_BLUE: Final = "#0072B2"
_ORANGE: Final = "#D55E00"
_GREEN: Final = "#009E73"


def plot_curve(
    history: Sequence[dict[str, float]],
    path: Path,
    *,
    loss: str = "weighted cross-entropy",
    measure: str = "val_auroc",
    measured: str = "mean AUROC, validation",
) -> None:
    """Draw losses and the figure that chose the best epoch; a picture of 1,200 x 450 pixels."""
    figure = Figure(figsize=(8, 3), dpi=150, layout="constrained")
    losses, areas = figure.subplots(1, 2)
    epochs = range(1, len(history) + 1)
    losses.plot(epochs, [epoch["loss"] for epoch in history], color=_BLUE, marker="o", label="training")
    losses.plot(
        epochs,
        [epoch["val_loss"] for epoch in history],
        color=_ORANGE,
        marker="s",
        linestyle="--",
        label="validation",
    )
    losses.set(xlabel="epoch", ylabel=loss)
    losses.legend()
    areas.plot(epochs, [epoch[measure] for epoch in history], color=_GREEN, marker="o")
    areas.set(xlabel="epoch", ylabel=measured)
    for axes in (losses, areas):
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
    figure.savefig(path)


def plot_classes(train: Split, valid: Split, path: Path) -> None:
    """Draw each finding's share of positive images among those with a known label, in both splits."""
    figure = Figure(figsize=(8, 0.9 + 0.32 * len(train.findings)), dpi=150, layout="constrained")
    axes = figure.subplots()
    for offset, split, colour, name in (
        (-0.2, train, _BLUE, "training"),
        (0.2, valid, _ORANGE, "validation"),
    ):
        positive = (split.labels == 1).sum(axis=0)
        known = (split.labels >= 0).sum(axis=0)
        bars = axes.barh(
            [index + offset for index in range(len(split.findings))],
            100 * positive / known.clip(min=1),
            height=0.38,
            color=colour,
            label=f"{name}, {len(split)} images",
        )
        axes.bar_label(bars, labels=[str(count) for count in positive], padding=2, fontsize=7)
    axes.set_yticks(range(len(train.findings)), train.findings)
    axes.invert_yaxis()
    axes.set(xlabel="positive images, %")
    axes.legend()
    figure.savefig(path)
