"""Which trainings are the same one, that may go on, and which are another."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from training_support import pixels, plan_of, split_of


@pytest.mark.parametrize(
    "fields",
    [
        {"train": replace(split_of([[0, 1], [1, 0]]), sha256="c" * 64)},
        {"valid": replace(split_of([[0, 1], [1, 0]]), sha256="c" * 64)},
        {"train": split_of([[0], [1]])},
        {"images": "elsewhere"},
        {"valid_images": "elsewhere"},
        {"pixels": pixels(64)},
        {"final_relu": False},
        {"batch": 8},
        {"learning_rate": 1e-4},
        {"flip": True},
        {"seed": 1},
    ],
    ids="-".join,
)
def test_a_training_of_other_data_or_options_has_another_fingerprint(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    assert plan_of(tmp_path, **fields).fingerprint() != plan_of(tmp_path).fingerprint()


def test_a_training_that_goes_on_may_be_longer_and_be_called_otherwise(tmp_path: Path) -> None:
    longer = plan_of(tmp_path, epochs=50, patience=9, half=True, wanted_sensitivity=0.8, description="other")
    assert longer.fingerprint() == plan_of(tmp_path).fingerprint()
