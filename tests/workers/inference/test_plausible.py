"""What decodes and is no radiograph is not scored, by the limits of the card."""

import numpy as np
import pytest
from support import CLASSIFIER_CARD

from config.cards.classification import Preprocessing
from config.failures import ImageUnusableError
from workers.inference.formats.picture import Picture, Values
from workers.inference.plausible import extent_of, require_plausible

PIXELS = Preprocessing.model_validate(CLASSIFIER_CARD["pixels"])
SLOPE = np.tile(np.linspace(40, 200, 64), (48, 1)).astype(np.uint8)
LETTER = np.zeros((200, 200), dtype=np.uint8)
LETTER[5:20, 5:20] = 255


def reason_of(values: Values, pixels: Preprocessing = PIXELS) -> str:
    with pytest.raises(ImageUnusableError) as caught:
        require_plausible(extent_of(Picture(values)), pixels)
    return caught.value.reason


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_picture_of_one_grey_has_no_contrast(grey: int) -> None:
    assert reason_of(np.full((300, 200), grey, dtype=np.uint8)) == "no_contrast"
    assert reason_of(np.full((300, 200), grey, dtype=np.float32)) == "no_contrast"


def test_a_letter_in_a_black_picture_is_no_contrast() -> None:
    assert reason_of(LETTER) == "no_contrast"


def test_a_picture_under_a_sides_limit_is_too_small() -> None:
    assert reason_of(np.array([[7]], dtype=np.uint8)) == "too_small"
    assert reason_of(SLOPE[:31]) == "too_small"
    assert reason_of(SLOPE[:, :31]) == "too_small"


@pytest.mark.parametrize("values", [SLOPE, SLOPE[:32, :32], np.dstack([SLOPE] * 3), SLOPE.astype(np.float32)])
def test_a_small_but_varied_picture_is_let_through(values: Values) -> None:
    require_plausible(extent_of(Picture(values)), PIXELS)


def test_the_card_sets_the_limits() -> None:
    none = PIXELS.model_copy(update={"least_side": 1, "least_contrast": 0.0})
    require_plausible(extent_of(Picture(np.array([[7]], dtype=np.uint8))), none)
    high = PIXELS.model_copy(update={"least_side": 49})
    assert reason_of(SLOPE, high) == "too_small"
    assert reason_of(SLOPE, PIXELS.model_copy(update={"least_contrast": 200.0})) == "no_contrast"


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (37, 91), (256, 256), (600, 1024)])
def test_counted_percentiles_are_those_that_sorting_gives(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(sum(shape))
    for values in (rng.integers(0, 256, shape), rng.normal(90, 12, shape).clip(0, 255)):
        greys = values.astype(np.uint8)
        counted, sorted_ = (extent_of(Picture(kind)) for kind in (greys, greys.astype(np.float32)))
        np.testing.assert_allclose(counted, sorted_, rtol=1e-6)
