"""Resizing, and cutting out the middle, are those of torchvision's transforms: pictures of any shape."""

import warnings
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from config.cards.classification import Preprocessing
from workers.inference.formats.picture import Picture
from workers.inference.pixels import prepare

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pytest.importorskip("torchvision", reason="torchvision is a peer: make test-peers")

SIZE = 96
SHAPES = [(211, 173), (150, 150), (173, 400), (60, 90), (128, 131)]
FIRST: list[int | tuple[int, int]] = [SIZE, 110, (110, 110), (100, 128)]

Resize = Literal["bilinear", "bicubic", "tensor", "tensor-antialiased"]


def picture(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, shape, dtype=np.uint8)


def ours(
    values: NDArray[np.uint8], resize: Resize, first: int | tuple[int, int] | None
) -> NDArray[np.float32]:
    channels: Literal[1, 3] = 3 if values.ndim == 3 else 1
    card = Preprocessing(
        size=SIZE, channels=channels, resize=resize, factor=1.0, mean=(0.0,) * channels,
        std=(1.0,) * channels, resize_first=first,
    )  # fmt: skip
    return prepare(Picture(values), card)


def theirs(values: NDArray[np.uint8], resize: Resize, first: int | tuple[int, int] | None) -> Any:
    import torch
    from torchvision.transforms import functional, v2

    target: Any = (SIZE, SIZE) if first is None else first
    if resize in {"bilinear", "bicubic"}:
        method = functional.InterpolationMode(resize)
        steps = [v2.Resize(target, interpolation=method), v2.CenterCrop(SIZE)]
        done = np.asarray(v2.Compose(steps)(Image.fromarray(values)), np.float32)
        return done.reshape(SIZE, SIZE, -1)
    tensor = torch.from_numpy(values.reshape(*values.shape[:2], -1).transpose(2, 0, 1).astype(np.float32))
    steps = [v2.Resize(target, antialias=resize == "tensor-antialiased"), v2.CenterCrop(SIZE)]
    return v2.Compose(steps)(tensor).numpy().transpose(1, 2, 0)


@pytest.mark.parametrize("colour", [(), (3,)])
@pytest.mark.parametrize("first", [None, *FIRST])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("resize", ["bilinear", "bicubic"])
def test_pillows_resizes_are_the_same_to_the_last_grey(
    resize: Resize, shape: tuple[int, int], first: int | tuple[int, int] | None, colour: tuple[int, ...]
) -> None:
    values = picture(shape + colour)
    assert np.array_equal(ours(values, resize, first), theirs(values, resize, first))


@pytest.mark.parametrize("colour", [(), (3,)])
@pytest.mark.parametrize("first", [None, *FIRST])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("resize", ["tensor", "tensor-antialiased"])
def test_resizes_of_tensors_are_the_same(
    resize: Resize, shape: tuple[int, int], first: int | tuple[int, int] | None, colour: tuple[int, ...]
) -> None:
    values = picture(shape + colour)
    # torch computes the places of pixels in float32: 4e-5 of the range.
    np.testing.assert_allclose(ours(values, resize, first), theirs(values, resize, first), rtol=0, atol=1e-2)


def test_long_strip_costs_no_more_than_its_middle() -> None:
    strip = picture((2, 100_000))
    prepared = ours(strip, "bilinear", 110)
    assert prepared.shape == (SIZE, SIZE, 1)
    assert np.ptp(prepared) > 0
