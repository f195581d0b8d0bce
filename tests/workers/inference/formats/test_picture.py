"""A picture's values as whole numbers."""

import numpy as np
import pytest

from workers.inference.formats.picture import as_bytes


@pytest.mark.parametrize("shape", [(511, 2), (7, 73, 2)])
def test_values_are_rounded_as_numpy_rounds_them(shape: tuple[int, ...]) -> None:
    halves = np.arange(511 * 2)[::-1] / 4  # 0, 0.25, 0.5 and so on to 255.25, which is 255
    values = halves.reshape(shape).astype(np.float32)
    assert (as_bytes(values) == values.round()).all()


def test_bytes_stay_as_they_are() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert as_bytes(values) is values
