"""The pictures that trainings of tests read."""

from pathlib import Path

import pytest
from PIL import Image
from training_support import drawn_pictures


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Twelve noisy pictures, every third of the input's size, every third in colour."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number, shape in enumerate([(32, 32), (40, 56), (64, 48, 3)] * 4):
        values = drawn_pictures(number + 1, *shape)[-1].values
        Image.fromarray(values).save(folder / f"{number}.png")
    return folder
