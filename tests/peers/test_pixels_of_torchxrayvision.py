"""The same pixels as torchxrayvision's and torchvision's own transforms, on drawn and on real radiographs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from config.cards.classification import Preprocessing
from jobs.sources.folder import FolderSource
from workers.inference.formats.decode import read_picture
from workers.inference.formats.picture import Picture
from workers.inference.pixels import prepare
from workers.inference.region import visible_region

pytest.importorskip(
    "torchxrayvision", reason="torch and torchxrayvision live in an environment of their own: make test-peers"
)

XRAY = Preprocessing(
    size=224,
    channels=1,
    resize="gaussian",
    factor=1.0,
    mean=(127.5,),
    std=(127.5 / 1024,),
    center_crop=True,
)
IMAGENET = Preprocessing(
    size=224,
    channels=3,
    resize="bilinear",
    factor=1 / 255,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)
# Both sides compute in float32, in another order: 1e-6 of the range of -1024 to 1024.
ROUNDING = 2048 * 1e-6

SHAPES = [(1024, 1024), (700, 901), (901, 700), (601, 600), (300, 225), (224, 225), (101, 130), (224, 224)]


def drawn(*shape: int) -> NDArray[np.uint8]:
    """Give noise of all grey values: nothing is harder to resize."""
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)


def by_torchxrayvision(values: NDArray[Any], highest: int = 255) -> NDArray[np.float32]:
    """Prepare (height, width) or (height, width, colour) as its documentation shows: (224, 224, 1)."""
    import torchxrayvision as xrv

    image = xrv.datasets.normalize(values, highest, reshape=True)
    for transform in (xrv.datasets.XRayCenterCrop(), xrv.datasets.XRayResizer(224)):
        image = transform(image)
    return np.moveaxis(np.asarray(image, dtype=np.float32), 0, -1)


def by_torchvision(picture: Image.Image) -> NDArray[np.float32]:
    """Prepare a picture as a classifier on ImageNet's weights is: (224, 224, 3)."""
    from torchvision import transforms

    prepared = transforms.Compose(
        [
            transforms.Resize((224, 224)),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET.mean, IMAGENET.std),
        ]
    )(picture)
    return np.moveaxis(prepared.numpy(), 0, -1)


def some_radiographs(real_data: Path) -> list[Path]:
    """Give every tenth radiograph of the NIH's sample, and one of those that it ships as RGBA."""
    files = sorted((real_data / "nih" / "images").glob("*.png"))
    for file in files:
        with Image.open(file) as picture:
            if picture.mode == "RGBA":
                return [*files[::10], file]
    pytest.fail("the sample has no RGBA picture")


@pytest.mark.parametrize("shape", SHAPES)
def test_drawn_pictures_are_prepared_as_by_torchxrayvision(shape: tuple[int, int]) -> None:
    values = drawn(*shape)
    assert np.abs(prepare(Picture(values), XRAY) - by_torchxrayvision(values)).max() <= ROUNDING


@pytest.mark.parametrize("shape", [(700, 901), (101, 130)])
def test_sixteen_bit_pictures_are_prepared_as_by_torchxrayvision(shape: tuple[int, int]) -> None:
    deep = drawn(*shape).astype(np.uint16) * 256 + 7
    found = prepare(Picture(deep.astype(np.float32) * np.float32(1 / 257)), XRAY)
    assert np.abs(found - by_torchxrayvision(deep, 65535)).max() <= ROUNDING


@pytest.mark.parametrize("lowest", [0, 235])
def test_picture_without_mid_grey_is_prepared_as_by_torchxrayvision(lowest: int) -> None:
    values = (lowest + drawn(600, 611) % 21).astype(np.uint8)
    assert np.abs(prepare(Picture(values), XRAY) - by_torchxrayvision(values)).max() <= ROUNDING


def test_radiographs_are_prepared_as_by_torchxrayvision(real_data: Path) -> None:
    for file in some_radiographs(real_data):
        with Image.open(file) as opened:
            expected = by_torchxrayvision(np.asarray(opened))
        found = prepare(read_picture(FolderSource(file.parent), file.name, 64_000_000), XRAY)
        assert np.abs(found - expected).max() <= ROUNDING, file.name


@pytest.mark.parametrize("height", range(1, 7))
@pytest.mark.parametrize("width", range(1, 7))
def test_square_is_the_one_that_torchxrayvision_cuts_out(height: int, width: int) -> None:
    import torchxrayvision as xrv

    numbered = np.arange(height * width).reshape(1, height, width)
    seen = visible_region(XRAY, width, height)
    cropped = xrv.datasets.XRayCenterCrop()(numbered)
    assert np.array_equal(
        cropped, numbered[:, seen.top : seen.top + seen.height, seen.left : seen.left + seen.width]
    )


@pytest.mark.parametrize("shape", [*SHAPES, (301, 400, 3), (101, 130, 3)])
def test_drawn_pictures_are_prepared_as_by_torchvision(shape: tuple[int, ...]) -> None:
    values = drawn(*shape)
    found = prepare(Picture(values), IMAGENET)
    # Both resize with Pillow; what is left is float32's rounding of the scaling.
    assert np.abs(found - by_torchvision(Image.fromarray(values).convert("RGB"))).max() <= 2e-6


def test_radiographs_are_prepared_as_by_torchvision(real_data: Path) -> None:
    for file in some_radiographs(real_data):
        with Image.open(file) as opened:
            expected = by_torchvision(opened.convert("RGB"))
        found = prepare(read_picture(FolderSource(file.parent), file.name, 64_000_000), IMAGENET)
        assert np.abs(found - expected).max() <= 2e-6, file.name
