"""The two pictures beside a training's report: its curve and its classes."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from training_support import figures, split_of

from workers.training.plots import plot_classes, plot_curve


def opened_png(path: Path) -> NDArray[np.uint8]:
    with Image.open(path, formats=("PNG",)) as picture:
        picture.load()
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("epochs", [1, 12])
def test_curve_is_a_png_of_1200_by_450(tmp_path: Path, epochs: int) -> None:
    history = [figures(0.5 + epoch / 30) for epoch in range(epochs)]
    plot_curve(history, tmp_path / "curve.png")
    drawn = opened_png(tmp_path / "curve.png")
    assert drawn.shape == (450, 1200, 3)
    colours = set(np.unique(drawn @ np.array([1 << 16, 1 << 8, 1])).tolist())
    assert {0x0072B2, 0xD55E00, 0x009E73} <= colours


def test_curve_without_an_auroc_is_drawn_all_the_same(tmp_path: Path) -> None:
    plot_curve([figures(float("nan"))] * 2, tmp_path / "curve.png")
    assert opened_png(tmp_path / "curve.png").shape == (450, 1200, 3)


@pytest.mark.parametrize("findings", [1, 14])
def test_classes_are_a_png_that_grows_with_the_findings(tmp_path: Path, findings: int) -> None:
    split = split_of(np.array([[1], [0], [-1]]).repeat(findings, axis=1))
    unknown = split_of(np.full((2, findings), -1))
    plot_classes(split, unknown, tmp_path / "classes.png")
    height, width, _ = opened_png(tmp_path / "classes.png").shape
    assert width == 1200
    assert height == pytest.approx(150 * (0.9 + 0.32 * findings), abs=1)
