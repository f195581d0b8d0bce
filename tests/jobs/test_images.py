"""What is found out about an order's images before its run is written."""

from pathlib import Path

import numpy as np
import pytest
from picture_support import LIMIT, saved
from PIL import Image
from support import Nightread

from jobs.images import ImagesError, look_at_images
from jobs.submit import Order


@pytest.fixture
def order(tmp_path: Path) -> Order:
    """Ten 16-bit pictures of 12 bits; the manifest is not looked at."""
    for number in range(10):
        values = np.linspace(0, 4095, 64 * 64).reshape(64, 64).astype(np.uint16)
        (tmp_path / f"{number}.png").write_bytes(saved(Image.fromarray(values), "PNG"))
    return Order(tmp_path / "manifest.csv", tmp_path, "demo")


NAMES = [f"{number}.png" for number in range(10)]


def test_the_bits_are_measured_and_said(order: Order) -> None:
    found, said = look_at_images(order, NAMES, 10, LIMIT)
    assert found.bits == 12
    (line,) = said
    assert "12 bits" in line
    assert "4,095" in line
    assert "--bits" in line


def test_the_bits_that_somebody_said_are_kept_without_a_word(order: Order) -> None:
    told = Order(order.manifest, order.images, order.model, bits=16)
    assert look_at_images(told, NAMES, 10, LIMIT) == (told, ())


def test_the_share_that_may_be_missing_is_one_of_the_manifests_rows(order: Order) -> None:
    allowed = Order(order.manifest, order.images, order.model, max_missing=0.1, bits=12)
    assert "2 of 2 images are not below" in look_at_images(allowed, ["a.png", "b.png"], 20, LIMIT)[1][0]
    with pytest.raises(ImagesError, match=r"'a\.png', 'b\.png'.*--max-missing 0\.106") as caught:
        look_at_images(allowed, ["a.png", "b.png"], 19, LIMIT)
    assert "a.png" not in caught.value.outline


def test_submit_keeps_the_bits_with_the_run_and_says_what_it_measured(
    nightread: Nightread, order: Order
) -> None:
    assert isinstance(order.manifest, Path)
    order.manifest.write_text("\n".join(["Image", *NAMES]) + "\n", encoding="utf-8")
    measured = nightread.call("submit", order.manifest, "--images", order.images)
    assert measured.returncode == 0, measured.stderr
    assert "16-bit pictures use 12 bits" in " ".join(measured.stderr.split())
    told = nightread.call("submit", order.manifest, "--images", order.images, "--bits", "14")
    assert "bits" not in told.stderr
    assert nightread.sql("SELECT bits FROM progress ORDER BY run_id") == [{"bits": 12}, {"bits": 14}]
