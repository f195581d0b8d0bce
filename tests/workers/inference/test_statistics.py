"""Mean and standard deviation of an archive's pixels, as a network takes them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from training_support import LIMIT, drawn_pictures, pictures_of, pixels, write_pictures

from config.errors import ConfigError
from workers.archive import archive_statistics
from workers.inference import statistics
from workers.inference.formats.picture import Picture
from workers.inference.statistics import pixel_statistics, sampled_statistics


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "images")


@pytest.mark.parametrize("factor", [1.0, 1 / 255])
def test_mean_and_std_are_numpys_over_all_pixels(factor: float) -> None:
    pictures = drawn_pictures(5, 32, 32)
    mean, std = pixel_statistics(pictures, pixels(factor=factor))
    values = np.stack([picture.values for picture in pictures]).astype(np.float64) * factor
    assert mean == pytest.approx((values.mean(),), abs=5.1e-5)
    assert std == pytest.approx((values.std(),), abs=5.1e-5)


def test_each_colour_has_its_own_mean_and_std_and_grey_is_all_three() -> None:
    colour, grey = drawn_pictures(1, 32, 32, 3) + drawn_pictures(1, 32, 32)
    mean, std = pixel_statistics([colour, grey], pixels(channels=3))
    values = np.stack([colour.values, np.dstack([grey.values] * 3)]).astype(np.float64)
    assert mean == pytest.approx(values.mean(axis=(0, 1, 2)), abs=5.1e-5)
    assert std == pytest.approx(values.std(axis=(0, 1, 2)), abs=5.1e-5)
    assert len(set(mean)) == 3


def test_mean_and_std_are_of_the_resized_picture_before_any_scaling() -> None:
    (small,) = drawn_pictures(1, 32, 32)
    large = Picture(np.repeat(np.repeat(small.values, 2, axis=0), 2, axis=1))
    scaled = pixels(resize="nearest", mean=(100.0,), std=(7.0,))
    assert pixel_statistics([large], scaled) == pixel_statistics([small], pixels())


@pytest.mark.parametrize("factor", [1.0, 1 / 255])
@pytest.mark.parametrize("value", [0, 77, 255])
def test_pictures_of_one_grey_are_refused(value: int, factor: float) -> None:
    grey = Picture(np.full((40, 50), value, dtype=np.uint8))
    with pytest.raises(ConfigError, match="one value"):
        pixel_statistics([grey] * 3, pixels(64, factor=factor))


def test_no_picture_is_refused() -> None:
    with pytest.raises(ConfigError, match="none of the sampled images could be read"):
        pixel_statistics([], pixels())


def listing(folder: Path, names: list[str]) -> Path:
    path = folder.parent / "listing.csv"
    path.write_text("Image,Mass\n" + "".join(f"{name},{index % 2}\n" for index, name in enumerate(names)))
    return path


def test_unreadable_images_of_the_sample_are_passed_over(images: Path) -> None:
    (images / "text.png").write_text("no picture")
    manifest = listing(images, ["missing.png", "0.png", "text.png", "1.png"])
    expected = pixel_statistics([pictures_of(images)(name) for name in ("0.png", "1.png")], pixels())
    assert archive_statistics(manifest, str(images), pixels(), LIMIT) == expected
    with pytest.raises(ConfigError, match="none of the sampled images could be read"):
        archive_statistics(listing(images, ["missing.png", "text.png"]), str(images), pixels(), LIMIT)


def test_the_sample_is_drawn_with_a_seed(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "SAMPLE", 3)
    names = [f"{number}.png" for number in range(12)]
    drawn = [sampled_statistics(names, pictures_of(images), pixels(), seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_real_radiographs_have_pillows_mean_and_std(real_data: Path) -> None:
    paths = sorted((real_data / "nih" / "images").glob("*.png"))[:4]
    shape = pixels(64)
    pictures = [pictures_of(path.parent)(path.name) for path in paths]
    values = [
        np.asarray(Image.open(path).convert("L").resize((64, 64), Image.Resampling.BILINEAR))
        for path in paths
    ]
    mean, std = pixel_statistics(pictures, shape)
    assert len(values) == 4
    assert mean == pytest.approx((np.mean(values),), abs=0.01)
    assert std == pytest.approx((np.std(values),), abs=0.01)
