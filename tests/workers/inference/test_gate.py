"""What a gate sees of a picture is the same however it is computed."""

import numpy as np
import pytest

from workers.inference.formats.picture import Picture
from workers.inference.gate import look_at


@pytest.mark.parametrize("shape", [(16, 16), (16, 1024), (944, 784), (1024, 1024), (1000, 1023)])
def test_whole_greys_are_seen_as_the_same_numbers_in_float32(shape: tuple[int, int]) -> None:
    greys = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    whole, floats = look_at(Picture(greys)), look_at(Picture(greys.astype(np.float32)))
    np.testing.assert_allclose(whole.greys, floats.greys, atol=1e-4)
    np.testing.assert_allclose(
        (whole.brightness, whole.contrast), (floats.brightness, floats.contrast), rtol=1e-6
    )
