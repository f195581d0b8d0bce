"""Resizing, and cutting out the middle, are those of torchvision's transforms: pictures of any shape."""

import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from config.cards.classification import Preprocessing
from workers.inference.formats.picture import Picture
from workers.inference.pixels import prepare, prepare_views

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch", reason="torch is a peer: make test-peers")
    pytest.importorskip("torchvision", reason="torchvision is a peer: make test-peers")
    from torchvision.transforms import functional, v2

SIZE = 96
SHAPES = [(211, 173), (150, 150), (173, 400), (60, 90), (128, 131)]
FIRST: list[int | tuple[int, int]] = [SIZE, 110, (110, 110), (100, 128)]

Resize = Literal["bilinear", "bicubic", "tensor", "tensor-antialiased"]


def picture(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, shape, dtype=np.uint8)


def card_of(
    values: NDArray[np.uint8], resize: Resize, first: int | tuple[int, int] | None, *, ten: bool = False
) -> Preprocessing:
    channels: Literal[1, 3] = 3 if values.ndim == 3 else 1
    return Preprocessing(
        size=SIZE, channels=channels, resize=resize, factor=1.0, mean=(0.0,) * channels,
        std=(1.0,) * channels, resize_first=first, ten_crops=ten,
    )  # fmt: skip


def ours(
    values: NDArray[np.uint8], resize: Resize, first: int | tuple[int, int] | None
) -> NDArray[np.float32]:
    return prepare(Picture(values), card_of(values, resize, first))


def theirs(
    values: NDArray[np.uint8],
    resize: Resize,
    first: int | tuple[int, int] | None,
    cut: Callable[[int], Any] = v2.CenterCrop,
) -> Any:
    """Return what transforms give: (size, size, channels), or a list of it."""
    target: Any = (SIZE, SIZE) if first is None else first
    given: Any = Image.fromarray(values)
    sized = v2.Resize(target, interpolation=functional.InterpolationMode("bilinear"))
    if resize == "bicubic":
        sized = v2.Resize(target, interpolation=functional.InterpolationMode("bicubic"))
    elif resize != "bilinear":
        given = torch.from_numpy(values.reshape(*values.shape[:2], -1).transpose(2, 0, 1).astype(np.float32))
        sized = v2.Resize(target, antialias=resize == "tensor-antialiased")
    done = v2.Compose([sized, cut(SIZE)])(given)
    return [as_array(part) for part in done] if isinstance(done, tuple) else as_array(done)


def as_array(done: Any) -> NDArray[np.float32]:
    if isinstance(done, torch.Tensor):
        return np.asarray(done.numpy().transpose(1, 2, 0), np.float32)
    return np.asarray(done, np.float32).reshape(SIZE, SIZE, -1)


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


@pytest.mark.parametrize("colour", [(), (3,)])
@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("resize", ["bilinear", "bicubic", "tensor", "tensor-antialiased"])
def test_ten_crops_are_the_same(
    resize: Resize, shape: tuple[int, int], first: int | tuple[int, int], colour: tuple[int, ...]
) -> None:
    values = picture(shape + colour)
    found = prepare_views(Picture(values), card_of(values, resize, first, ten=True))
    # torchvision has the middle behind the four corners.
    five = np.array([1, 2, 3, 4, 0])
    crops = np.stack(theirs(values, resize, first, v2.TenCrop))
    assert len(crops) == 10
    np.testing.assert_allclose(
        found[np.concatenate([five, five + 5])], crops, rtol=0, atol=1e-2 if "tensor" in resize else 0
    )


def test_long_strip_costs_no_more_than_its_middle() -> None:
    strip = picture((2, 100_000))
    prepared = ours(strip, "bilinear", 110)
    assert prepared.shape == (SIZE, SIZE, 1)
    assert np.ptp(prepared) > 0
