"""The pictures and labels of an epoch, as TensorFlow's dataset gives them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from training_support import SCALED, pictures_of, pixels, reader, split_of, write_pictures

from workers.inference.pixels import prepare
from workers.training.splits import Split


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "images")


def numbered(names: list[str]) -> Split:
    """Give a split whose labels tell which image they belong to: its number in binary."""
    bits = [[number >> bit & 1 for bit in range(5)] for number in range(len(names))]
    return split_of(bits, names=tuple(names))


def numbers(labels: NDArray[np.int8]) -> list[int]:
    return [int(sum(int(bit) << place for place, bit in enumerate(row))) for row in labels]


def collected(dataset: Any) -> tuple[NDArray[np.float32], list[int]]:
    """Run an epoch; give its pictures, and which image each of its labels belongs to."""
    batches = [(np.asarray(pictures), np.asarray(labels)) for pictures, labels in dataset]
    pictures, labels = (np.concatenate(column) for column in zip(*batches, strict=True))
    return pictures, numbers(labels)


def twelve() -> Split:
    return numbered([f"{number}.png" for number in range(12)])


@pytest.fixture(params=["cached", "decoded again each epoch"])
def cache(request: pytest.FixtureRequest, tensorflow: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose memory holds the split, and one whose memory does not."""
    from workers.training import inputs

    assert tensorflow
    memory = 2**40 if request.param == "cached" else 0
    monkeypatch.setattr(inputs, "_memory", lambda: memory)


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("channels", [1, 3])
def test_a_datasets_pictures_are_what_scoring_prepares_in_the_manifests_order(
    images: Path, channels: int
) -> None:
    from workers.training.inputs import Inputs

    shape = pixels(channels=channels, mean=(90.0,) * channels, std=(40.0,) * channels)
    split = twelve()
    inputs = Inputs(reader(images, shape), shape)
    dataset = inputs.dataset(split, 5)
    assert [len(labels) for _, labels in dataset] == [5, 5, 2]
    pictures, order = collected(dataset)
    assert order == list(range(12))
    assert pictures.dtype == np.float32
    expected = np.stack([prepare(pictures_of(images)(name), shape) for name in split.names])
    assert np.array_equal(pictures, expected)
    assert inputs.unusable == {}


@pytest.mark.usefixtures("cache")
def test_unreadable_pictures_are_left_out_and_counted_once_with_their_reason(images: Path) -> None:
    from workers.training.inputs import Inputs

    (images / "text.png").write_text("no picture")
    whole = (images / "3.png").read_bytes()
    (images / "cut.png").write_bytes(whole[: len(whole) // 2])
    names = ["0.png", "text.png", "1.png", "missing.png", "cut.png", "../2.png", "2.png"]
    inputs = Inputs(reader(images), pixels(**SCALED))
    dataset = inputs.dataset(numbered(names), 4)
    for _ in range(2):
        pictures, order = collected(dataset)
        assert order == [0, 2, 6]
        assert len(pictures) == 3
    assert inputs.unusable == {
        "text.png": "wrong_format",
        "missing.png": "missing",
        "cut.png": "truncated",
        "../2.png": "outside_root",
    }


@pytest.mark.usefixtures("cache")
def test_shuffling_is_seeded_new_each_epoch_and_labels_follow_their_pictures(images: Path) -> None:
    from workers.training.inputs import Inputs

    inputs = Inputs(reader(images), pixels(**SCALED))
    straight, _ = collected(inputs.dataset(twelve(), 5))
    orders = []
    for seed in (7, 7, 8):
        dataset = inputs.dataset(twelve(), 5, shuffle=seed)
        for _ in range(2):
            pictures, order = collected(dataset)
            assert sorted(order) == list(range(12))
            assert np.array_equal(pictures, straight[order])
            orders.append(order)
    first, second, first_again, second_again, first_of_other, _ = orders
    assert (first, second) == (first_again, second_again)
    assert first != second
    assert first != first_of_other
    assert first != list(range(12))


@pytest.mark.usefixtures("cache")
def test_flipping_mirrors_some_pictures_and_others_the_next_time(images: Path) -> None:
    from workers.training.inputs import Inputs

    inputs = Inputs(reader(images), pixels(**SCALED))
    straight, _ = collected(inputs.dataset(twelve(), 5))
    dataset = inputs.dataset(twelve(), 5, shuffle=7, flip=True)
    mirrored = []
    for _ in range(2):
        pictures, order = collected(dataset)
        flipped = {
            number
            for number, picture in zip(order, pictures, strict=True)
            if (picture != straight[number]).any()
        }
        assert 0 < len(flipped) < 12
        for number, picture in zip(order, pictures, strict=True):
            expected = straight[number][:, ::-1] if number in flipped else straight[number]
            assert np.array_equal(picture, expected)
        mirrored.append(flipped)
    assert mirrored[0] != mirrored[1]
