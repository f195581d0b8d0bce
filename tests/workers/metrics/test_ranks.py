"""Mid-ranks are SciPy's, which takes 60 MB to load."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from workers.metrics.ranks import mid_ranks


@given(st.lists(st.floats(-3, 3, width=16), max_size=60))
@settings(deadline=None, max_examples=100)
def test_ranks_are_scipys_to_the_last_bit(values: list[float]) -> None:
    array = np.array(values)
    assert mid_ranks(array).tolist() == rankdata(array).tolist()


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    assert mid_ranks(np.array([0.5, 0.1, 0.5, 0.9])).tolist() == [2.5, 1.0, 2.5, 4.0]
