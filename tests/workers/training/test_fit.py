"""What a training computes and keeps: labels, loss, thresholds, statistics, inputs, state, model folder."""

import hashlib
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from config.cards.classification import Preprocessing
from config.cards.model import Classifier, Model, read_model, weights_file
from config.errors import ConfigError
from config.findings import FINDINGS
from jobs.tables.manifest import Manifest
from workers.archive import archive_statistics, picture_reader
from workers.inference.formats.picture import Picture
from workers.inference.pixels import prepare
from workers.training import statistics
from workers.training.fit import train
from workers.training.plan import Plan, ReadPicture
from workers.training.plots import plot_classes, plot_curve
from workers.training.splits import Overlap, Split, class_frequencies, overlap, read_split
from workers.training.state import State
from workers.training.statistics import pixel_statistics, sampled_statistics
from workers.training.validation import Validated

LIMIT = 64_000_000


def reader(folder: Path) -> ReadPicture:
    """The function from a name in a folder to its picture."""
    return picture_reader(str(folder), LIMIT)


Arrays = list[NDArray[np.float32]]

# Keras' own, when it reads its variables to save them.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"
)


def pixels(size: int = 32, channels: int = 1, **fields: Any) -> Preprocessing:
    plain = {"resize": "bilinear", "factor": 1.0, "mean": (0.0,) * channels, "std": (1.0,) * channels}
    return Preprocessing.model_validate({"size": size, "channels": channels} | plain | fields)


def split_of(
    labels: Any, *, names: tuple[str, ...] | None = None, patients: tuple[str | None, ...] | None = None
) -> Split:
    array = np.asarray(labels, dtype=np.int8)
    images = len(array)
    return Split(
        manifest=Path("drawn.csv"),
        sha256="a" * 64,
        findings=FINDINGS[: array.shape[1]],
        names=names or tuple(f"{number}.png" for number in range(images)),
        labels=array,
        patients=patients or tuple(str(number) for number in range(images)),
    )


# --- labels ------------------------------------------------------------------------------------------------


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text("Image,Mass,Hernia,Edema,PatientId\na.png,1,0,,7\nb.png,0,,1,8\nc.png,,1,0,\n")
    return path


def test_labels_are_1_and_0_and_a_blank_one_is_unknown(manifest: Path) -> None:
    split = read_split(Manifest(manifest))
    assert split.findings == tuple(name for name in FINDINGS if name in {"Mass", "Hernia", "Edema"})
    columns = {name: split.labels[:, index].tolist() for index, name in enumerate(split.findings)}
    assert columns == {"Mass": [1, 0, -1], "Hernia": [0, -1, 1], "Edema": [-1, 1, 0]}
    assert split.labels.dtype == np.int8
    assert split.names == ("a.png", "b.png", "c.png")
    assert split.patients == ("7", "8", None)
    assert len(split) == 3


def test_a_row_of_nihs_file_without_labels_is_unknown_and_no_finding_is_0(tmp_path: Path) -> None:
    path = tmp_path / "nih.csv"
    path.write_text("Image Index,Finding Labels\na.png,No Finding\nb.png,\nc.png,Hernia|Mass\n")
    split = read_split(Manifest(path))
    assert split.findings == FINDINGS
    assert not split.labels[0].any()
    assert (split.labels[1] == -1).all()
    named = [name for name, label in zip(FINDINGS, split.labels[2], strict=True) if label == 1]
    assert set(named) == {"Hernia", "Mass"}


def test_columns_of_other_names_are_read_and_the_hash_tells_them_apart(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("picture,tumour\na.png,1\nb.png,0\n")
    split = read_split(Manifest(path, image_column="picture", finding_columns={"tumour": "Mass"}))
    assert (split.findings, split.labels.tolist()) == (("Mass",), [[1], [0]])
    assert (
        split.sha256
        != read_split(Manifest(path, image_column="picture", finding_columns={"tumour": "Nodule"})).sha256
    )


def test_a_manifest_without_labels_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bare.csv"
    path.write_text("Image\na.png\n")
    with pytest.raises(ConfigError, match=r"no labels.*--finding-column") as caught:
        read_split(Manifest(path))
    assert str(path) in str(caught.value)


def test_only_gives_the_findings_in_the_order_asked_for(manifest: Path) -> None:
    split = read_split(Manifest(manifest))
    chosen = split.only(("Edema", "Mass"))
    assert chosen.findings == ("Edema", "Mass")
    assert chosen.labels.tolist() == [[-1, 1], [1, 0], [0, -1]]
    assert (chosen.names, chosen.patients, chosen.sha256) == (split.names, split.patients, split.sha256)
    assert split.only(("Mass", "Edema")).labels.tolist() == chosen.labels[:, ::-1].tolist()


def test_only_names_a_finding_that_is_not_labelled(manifest: Path) -> None:
    with pytest.raises(ConfigError, match=r"no labels for Nodule, mass$") as caught:
        read_split(Manifest(manifest)).only(("Mass", "Nodule", "mass"))
    assert str(manifest) in str(caught.value)


# --- patients in both splits -------------------------------------------------------------------------------


def of_patients(names: str, patients: tuple[str | None, ...]) -> Split:
    return split_of([[0]] * len(names), names=tuple(names), patients=patients)


def test_splits_of_other_patients_do_not_leak() -> None:
    found = overlap(of_patients("abc", ("1", "1", "2")), of_patients("de", ("3", "4")))
    assert found == Overlap(0, 0, known=True)
    assert not found.leaks


def test_shared_patients_are_counted_once_and_all_their_validation_images() -> None:
    found = overlap(of_patients("abc", ("1", "1", "2")), of_patients("defgh", ("1", "1", "2", "3", "3")))
    assert found == Overlap(2, 3, known=True)
    assert found.leaks


def test_an_image_in_both_splits_leaks_though_its_patient_is_unknown() -> None:
    found = overlap(of_patients("ab", (None, None)), of_patients("bc", (None, None)))
    assert found == Overlap(0, 1, known=False)
    assert found.leaks


def test_rows_without_a_patient_are_not_one_patient() -> None:
    found = overlap(of_patients("ab", (None, "1")), of_patients("cd", (None, "2")))
    assert found == Overlap(0, 0, known=False)
    assert not found.leaks


# --- class frequencies -------------------------------------------------------------------------------------


def test_class_frequencies_are_shares_of_the_known_labels() -> None:
    positive, negative = class_frequencies(split_of([[1, 0], [0, 1], [-1, 1], [0, -1], [0, 1]]))
    assert positive.tolist() == [0.25, 0.75]
    assert negative.tolist() == [0.75, 0.25]


@pytest.mark.parametrize("column", [[1, 1, 1], [0, 0, 0], [-1, -1, -1], [1, -1, 1], [-1, 0, 0]])
def test_a_finding_of_one_class_is_refused_and_named(column: list[int]) -> None:
    split = split_of(np.stack([[0, 1, 1], column], axis=1))
    with pytest.raises(ConfigError, match="--findings") as caught:
        class_frequencies(split)
    assert FINDINGS[1] in str(caught.value)
    assert FINDINGS[0] not in str(caught.value)
    assert str(split.manifest) in str(caught.value)


# --- loss --------------------------------------------------------------------------------------------------


def course_loss(labels: NDArray[np.int8], logits: NDArray[np.float32], share: NDArray[np.float64]) -> float:
    """State the course's formula in its own terms; an unknown label is a term of 0."""
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    total = 0.0
    for column in range(labels.shape[1]):
        y, q = labels[:, column], p[:, column]
        w_positive, w_negative = 1 - share[column], share[column]
        terms = np.where(y == 1, -w_positive * np.log(q), -w_negative * np.log(1 - q))
        total += float(np.mean(np.where(y == -1, 0.0, terms)))
    return total


def drawn_batch(kinds: tuple[int, ...]) -> tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.float64]]:
    rng = np.random.default_rng(3)
    labels = rng.choice(kinds, (40, 5)).astype(np.int8)
    return labels, rng.normal(0, 3, (40, 5)).astype(np.float32), rng.uniform(0.01, 0.6, 5)


@pytest.mark.parametrize("kinds", [(0, 1), (-1, 0, 1)])
def test_loss_is_the_courses(tensorflow: Any, kinds: tuple[int, ...]) -> None:
    from workers.training.loss import WeightedCrossEntropy

    assert tensorflow
    labels, logits, share = drawn_batch(kinds)
    found = float(WeightedCrossEntropy(share)(labels, logits))
    assert found == pytest.approx(course_loss(labels, logits, share), rel=1e-5)
    # Rare positives must weigh more: the two weights exchanged are another loss.
    assert found != pytest.approx(course_loss(labels, logits, 1 - share), rel=1e-2)


def test_an_unknown_label_adds_nothing_and_gets_no_gradient(tensorflow: Any) -> None:
    from workers.training.loss import WeightedCrossEntropy

    labels, logits, share = drawn_batch((-1, 0, 1))
    loss = WeightedCrossEntropy(share)
    watched = tensorflow.Variable(logits)
    with tensorflow.GradientTape() as tape:
        before = loss(labels, watched)
    gradient = np.asarray(tape.gradient(before, watched))
    assert not gradient[labels == -1].any()
    assert (gradient[labels == 1] < 0).all()
    assert (gradient[labels == 0] > 0).all()
    assert float(loss(labels, np.where(labels == -1, 50.0, logits))) == float(before)
    assert float(loss(np.full_like(labels, -1), logits)) == 0


def test_loss_of_a_sure_error_is_finite(tensorflow: Any) -> None:
    from workers.training.loss import WeightedCrossEntropy

    assert tensorflow
    labels, logits = np.array([[1], [0]]), np.array([[-500.0], [500.0]], dtype=np.float32)
    assert float(WeightedCrossEntropy(np.array([0.25]))(labels, logits)) == pytest.approx(0.5 * 500)


# --- thresholds --------------------------------------------------------------------------------------------


def drawn_answers(decimals: int, kinds: tuple[int, ...] = (-1, 0, 1)) -> Validated:
    """60 images of 6 findings; few decimals make ties."""
    rng = np.random.default_rng(decimals)
    labels = rng.choice(kinds, (60, 6)).astype(np.int8)
    answers = np.clip(rng.normal(0.4 + 0.15 * labels, 0.2), 0.001, 0.999).round(decimals)
    return Validated(labels, answers, 0.0)


def rates(truth: NDArray[np.int8], answers: NDArray[np.float64], threshold: float) -> tuple[float, float]:
    """Count sensitivity and specificity at `p >= threshold`."""
    called = answers >= threshold
    return float(called[truth == 1].mean()), float((~called)[truth == 0].mean())


def known(found: Validated, column: int) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    labels = found.labels[:, column]
    return labels[labels >= 0], found.probabilities[labels >= 0, column]


@pytest.mark.parametrize("decimals", [1, 2, 5])
def test_threshold_has_the_greatest_youden_of_all_cuts(decimals: int) -> None:
    found = drawn_answers(decimals)
    youden, _ = found.thresholds(0.9)
    assert len(youden) == 6
    for column, threshold in enumerate(youden):
        truth, answers = known(found, column)
        best = max(sum(rates(truth, answers, cut)) for cut in answers)
        assert sum(rates(truth, answers, threshold)) == pytest.approx(best)


@pytest.mark.parametrize("wanted", [0.5, 0.8, 0.9, 1.0])
@pytest.mark.parametrize("decimals", [1, 2, 5])
def test_wanted_sensitivity_is_reached_and_not_by_the_next_higher_threshold(
    wanted: float, decimals: int
) -> None:
    found = drawn_answers(decimals)
    _, sensitive = found.thresholds(wanted)
    for column, threshold in enumerate(sensitive):
        truth, answers = known(found, column)
        assert rates(truth, answers, threshold)[0] >= wanted
        chosen = answers[answers >= threshold].min()
        next_higher = np.append(answers[answers > chosen], np.inf).min()
        assert rates(truth, answers, next_higher)[0] < wanted


def test_the_image_that_a_threshold_was_taken_from_is_called_positive() -> None:
    found = Validated(np.array([[0], [1]], dtype=np.int8), np.array([[0.1], [0.12345678]]), 0.0)
    assert found.thresholds(1.0) == ([0.123456], [0.123456])


@pytest.mark.parametrize("label", [-1, 0, 1])
def test_a_finding_without_both_classes_keeps_one_half_and_has_no_auroc(label: int) -> None:
    labels = np.array([[label, 0], [label, 1]], dtype=np.int8)
    found = Validated(labels, np.array([[0.2, 0.3], [0.9, 0.7]]), 0.0)
    assert found.thresholds(0.9) == ([0.5, 0.7], [0.5, 0.7])
    assert found.aurocs() == [None, 1.0]
    assert found.mean_auroc() == 1.0


def test_mean_auroc_of_no_finding_is_nan() -> None:
    assert np.isnan(Validated(np.zeros((2, 1), np.int8), np.zeros((2, 1)), 0.0).mean_auroc())


def test_validation_gives_all_images_probabilities_and_their_mean_loss(tensorflow: Any) -> None:
    from workers.training.loss import WeightedCrossEntropy
    from workers.training.validation import validate

    class Echo:
        """Its pictures are its logits."""

        def predict_on_batch(self, pictures: Any) -> NDArray[np.float32]:
            return np.asarray(pictures)

    labels, logits, share = drawn_batch((-1, 0, 1))
    batches = tensorflow.data.Dataset.from_tensor_slices((logits, labels)).batch(16)  # 40: the last is of 8
    found = validate(Echo(), batches, WeightedCrossEntropy(share))
    assert np.array_equal(found.labels, labels)
    assert found.probabilities == pytest.approx(1 / (1 + np.exp(-logits.astype(np.float64))))
    assert found.loss == pytest.approx(course_loss(labels, logits, share), rel=1e-5)


# --- mean and standard deviation ---------------------------------------------------------------------------


def drawn_pictures(count: int, *shape: int) -> list[Picture]:
    rng = np.random.default_rng(8)
    return [Picture(rng.integers(0, 60 + 15 * number, shape, dtype=np.uint8)) for number in range(count)]


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
    with pytest.raises(ConfigError, match="none of the sampled images"):
        pixel_statistics([], pixels())


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Twelve noisy pictures, every third of the input's size, every third in colour."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number, shape in enumerate([(32, 32), (40, 56), (64, 48, 3)] * 4):
        values = drawn_pictures(number + 1, *shape)[-1].values
        Image.fromarray(values).save(folder / f"{number}.png")
    return folder


def listing(folder: Path, names: list[str]) -> Path:
    path = folder.parent / "listing.csv"
    path.write_text("Image,Mass\n" + "".join(f"{name},{index % 2}\n" for index, name in enumerate(names)))
    return path


def test_unreadable_images_of_the_sample_are_passed_over(images: Path) -> None:
    (images / "text.png").write_text("no picture")
    manifest = listing(images, ["missing.png", "0.png", "text.png", "1.png"])
    expected = pixel_statistics([reader(images)(name) for name in ("0.png", "1.png")], pixels())
    assert archive_statistics(manifest, str(images), pixels(), LIMIT) == expected
    with pytest.raises(ConfigError, match="none of the sampled images"):
        archive_statistics(listing(images, ["missing.png", "text.png"]), str(images), pixels(), LIMIT)


def test_the_sample_is_drawn_with_a_seed(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "SAMPLE", 3)
    names = [f"{number}.png" for number in range(12)]
    drawn = [sampled_statistics(names, reader(images), pixels(), seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_real_radiographs_have_pillows_mean_and_std(real_data: Path) -> None:
    paths = sorted((real_data / "nih" / "images").glob("*.png"))[:4]
    shape = pixels(64)
    pictures = [reader(path.parent)(path.name) for path in paths]
    values = [
        np.asarray(Image.open(path).convert("L").resize((64, 64), Image.Resampling.BILINEAR))
        for path in paths
    ]
    mean, std = pixel_statistics(pictures, shape)
    assert len(values) == 4
    assert mean == pytest.approx((np.mean(values),), abs=0.01)
    assert std == pytest.approx((np.std(values),), abs=0.01)


# --- inputs ------------------------------------------------------------------------------------------------


def numbered(names: list[str]) -> Split:
    """Give a split whose labels tell which image they belong to: its number in binary."""
    bits = [[number >> bit & 1 for bit in range(5)] for number in range(len(names))]
    return split_of(bits, names=tuple(names))


def numbers(labels: NDArray[np.int8]) -> list[int]:
    return [int(sum(int(bit) << place for place, bit in enumerate(row))) for row in labels]


def collected(dataset: Any) -> tuple[NDArray[np.float32], list[int]]:
    """Run an epoch; give its pictures, and which image each of its labels belongs to."""
    batches = [(np.asarray(pictures), np.asarray(labels)) for pictures, labels in dataset]
    return np.concatenate([part for part, _ in batches]), numbers(
        np.concatenate([part for _, part in batches])
    )


def twelve() -> Split:
    return numbered([f"{number}.png" for number in range(12)])


SCALED: dict[str, Any] = {"mean": (90.0,), "std": (40.0,)}


@pytest.fixture(params=["cached", "decoded anew each epoch"])
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
    inputs = Inputs(reader(images), shape)
    dataset = inputs.dataset(split, 5)
    assert [len(labels) for _, labels in dataset] == [5, 5, 2]
    pictures, order = collected(dataset)
    assert order == list(range(12))
    assert pictures.dtype == np.float32
    expected = np.stack([prepare(reader(images)(name), shape) for name in split.names])
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


# --- plan --------------------------------------------------------------------------------------------------


def plan_of(folder: Path, **fields: Any) -> Plan:
    split = split_of([[0, 1], [1, 0]])
    plain = Plan(
        "mine",
        split,
        replace(split, sha256="b" * 64),
        Overlap(0, 0, known=True),
        str(folder),
        str(folder),
        reader(folder),
        reader(folder),
        pixels(),
    )
    return replace(plain, **fields)


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


@pytest.mark.parametrize(
    "fields", [{"name": "No Name"}, {"train": split_of([[0, 1], [1, 0]]).only((FINDINGS[0],) * 2)}]
)
def test_what_no_card_could_say_is_refused_before_the_training(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    def never(*_: Any) -> None:
        pytest.fail("it began")

    from workers.training.plan import Reporter

    with pytest.raises(ConfigError, match="name") as caught:
        train(plan_of(tmp_path, **fields), tmp_path / "models", tmp_path / "kept", Reporter(*[never] * 4))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


# --- state -------------------------------------------------------------------------------------------------


def figures(val_auroc: float) -> dict[str, float]:
    return {"loss": 1.0, "val_loss": 1.1, "val_auroc": val_auroc, "next_learning_rate": 1e-3}


@pytest.fixture
def small(tensorflow: Any) -> Callable[[float], Any]:
    """A network of three weights that all have one value: its files tell which epoch wrote them."""
    import keras

    assert tensorflow
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.Adam(), loss="mse")

    def filled(value: float) -> Any:
        model.set_weights([np.full(array.shape, value) for array in model.get_weights()])
        return model

    return filled


def last_and_best(folder: Path, model: Any) -> tuple[float, float]:
    """Read back which value the two kept files hold."""
    model.load_weights(folder / "last.weights.h5")
    with np.load(State(folder, "mine").best_file, allow_pickle=False) as stored:
        values = {float(value) for key in stored.files for value in stored[key].ravel()}
    values_of_last = {float(value) for array in model.get_weights() for value in array.ravel()}
    assert len(values) == len(values_of_last) == 1
    return values_of_last.pop(), values.pop()


def test_last_and_best_epoch_are_kept_and_read_again(tmp_path: Path, small: Callable[[float], Any]) -> None:
    folder = tmp_path / "training" / "mine"
    state = State(folder, "mine")
    aurocs, best = (0.5, 0.8, 0.7, 0.8, 0.9), (1, 2, 2, 2, 5)
    for epoch, (auroc, best_epoch) in enumerate(zip(aurocs, best, strict=True), start=1):
        state.keep(small(epoch), small(epoch), figures(auroc))
        again = State(folder, "mine")
        assert again.history == [figures(auroc) for auroc in aurocs[:epoch]]
        assert again.best_epoch == state.best_epoch == best_epoch
        assert last_and_best(folder, small(0)) == (epoch, best_epoch)
    assert {path.name for path in folder.iterdir()} == {"training.json", "last.weights.h5", "best-0005.npz"}


def test_a_training_without_state_begins_at_the_beginning(tmp_path: Path) -> None:
    assert State(tmp_path / "nothing", "mine").history == []
    assert not (tmp_path / "nothing").exists()


def test_state_of_another_training_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "training.json"
    path.write_text(json.dumps({"fingerprint": "others", "history": [figures(0.5)]}))
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=r"--name.*--restart") as caught:
        State(tmp_path, "mine")
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    assert State(tmp_path, "others").history == [figures(0.5)]


class KilledError(BaseException):
    """Stands for the kill."""


@pytest.mark.parametrize("moved", [0, 1], ids=["before the last", "after the last"])
def test_a_kill_between_the_files_leaves_a_state_to_go_on_with(
    tmp_path: Path, small: Callable[[float], Any], monkeypatch: pytest.MonkeyPatch, moved: int
) -> None:
    state = State(tmp_path, "mine")
    state.keep(small(1), small(1), figures(0.5))
    counter, really = itertools.count(), Path.replace

    def killed_after(path: Path, target: Path) -> Path:
        if next(counter) == moved:
            raise KilledError
        return really(path, target)

    with monkeypatch.context() as context:
        context.setattr(Path, "replace", killed_after)
        with pytest.raises(KilledError):
            state.keep(small(2), small(2), figures(0.9))
    again = State(tmp_path, "mine")
    # An epoch counts only when all its files are in place; one done twice does no harm.
    assert len(again.history) == 1
    assert last_and_best(tmp_path, small(0)) == ((1, 1), (2, 1))[moved]
    again.keep(small(3), small(3), figures(0.9))
    assert State(tmp_path, "mine").best_epoch == 2
    assert last_and_best(tmp_path, small(0)) == (3, 3)


def test_a_kill_in_the_first_epochs_writing_leaves_no_state(
    tmp_path: Path, small: Callable[[float], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_path: Path, _target: Path) -> Path:
        raise KilledError

    with monkeypatch.context() as context:
        context.setattr(Path, "replace", killed)
        with pytest.raises(KilledError):
            State(tmp_path, "mine").keep(small(1), small(1), figures(0.5))
    assert State(tmp_path, "another").history == []


# --- plots -------------------------------------------------------------------------------------------------


def opened_png(path: Path) -> NDArray[np.uint8]:
    with Image.open(path, formats=("PNG",)) as picture:
        picture.load()
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("epochs", [1, 12])
def test_curve_is_a_png_of_1200_by_450(tmp_path: Path, epochs: int) -> None:
    history = [figures(0.5 + epoch / 30) for epoch in range(epochs)]
    plot_curve(history, tmp_path / "curve.png")
    drawn = opened_png(tmp_path / "curve.png")
    assert drawn.shape == (450, 1200, 3)
    colours = set(np.unique(drawn @ np.array([1 << 16, 1 << 8, 1])).tolist())
    assert {0x0072B2, 0xD55E00, 0x009E73} <= colours


def test_curve_without_an_auroc_is_drawn_all_the_same(tmp_path: Path) -> None:
    plot_curve([figures(float("nan"))] * 2, tmp_path / "curve.png")
    assert opened_png(tmp_path / "curve.png").shape == (450, 1200, 3)


@pytest.mark.parametrize("findings", [1, 14])
def test_classes_are_a_png_that_grows_with_the_findings(tmp_path: Path, findings: int) -> None:
    split = split_of(np.array([[1], [0], [-1]]).repeat(findings, axis=1))
    unknown = split_of(np.full((2, findings), -1))
    plot_classes(split, unknown, tmp_path / "classes.png")
    height, width, _ = opened_png(tmp_path / "classes.png").shape
    assert width == 1200
    assert height == pytest.approx(150 * (0.9 + 0.32 * findings), abs=1)


# --- the model's folder ------------------------------------------------------------------------------------


FACTS: dict[str, Any] = {
    "name": "whole",
    "description": "of a test",
    "architecture": "densenet121",
    "findings": ("Mass", "Hernia"),
    "thresholds": (0.25, 0.5),
    "pixels": pixels(**SCALED).model_dump(),
    "provenance": "tests",
    "licence": "Apache-2.0",
}


@pytest.fixture(scope="module")
def network(tensorflow: Any) -> Any:
    """The network that FACTS describe."""
    from config.cards.classification import ClassificationCard
    from workers.inference.networks import densenet121 as densenet

    assert tensorflow
    draft = {"sha256": "0" * 64, "weights": "weights.npz", "golden": (0.5, 0.5)}
    return densenet.build(ClassificationCard.model_validate(FACTS | draft))


@pytest.fixture(scope="module")
def arrays(network: Any) -> Arrays:
    from workers.inference.networks.network import seeded_weights

    return seeded_weights(network, 4)


@pytest.fixture(scope="module")
def models(arrays: Arrays, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Classifier]:
    """Two models of the same weights, one stored as float16."""
    from workers.models.folder import write_model

    folder = tmp_path_factory.mktemp("home") / "models"
    return {
        "whole": write_model(folder, FACTS, arrays),
        "half": write_model(folder, FACTS | {"name": "half"}, arrays, half=True),
    }


def stored_arrays(model: Classifier) -> tuple[Arrays, tuple[str, ...]]:
    """Read a model's file as it is: its arrays in order, and its outputs' names."""
    assert weights_file(model) is not None
    with np.load(weights_file(model), allow_pickle=False) as stored:
        names = tuple(str(name) for name in stored["outputs"])
        return [stored[key] for key in sorted(stored.files) if key != "outputs"], names


def test_a_model_folder_holds_the_card_and_the_weights_and_nothing_else(
    models: dict[str, Classifier], arrays: Arrays
) -> None:
    model = models["whole"]
    assert model == read_model(model.folder)
    assert {path.name for path in model.folder.iterdir()} == {"card.yaml", "weights.npz"}
    assert {path.name for path in model.folder.parent.iterdir()} == {"whole", "half"}
    assert model.card.findings == ("Mass", "Hernia")
    assert model.card.thresholds == (0.25, 0.5)
    assert model.card.sha256 == hashlib.sha256((model.folder / "weights.npz").read_bytes()).hexdigest()
    stored, outputs = stored_arrays(model)
    assert outputs == ("Mass", "Hernia")
    assert len(stored) == len(arrays)
    assert all(np.array_equal(array, other) for array, other in zip(stored, arrays, strict=True))


def test_float16_halves_the_size(models: dict[str, Classifier], arrays: Arrays) -> None:
    whole, half = ((models[name].folder / "weights.npz").stat().st_size for name in ("whole", "half"))
    # The frames of 600 arrays stay as they are.
    assert half == pytest.approx(whole / 2, rel=0.01)
    stored, _ = stored_arrays(models["half"])
    assert {array.dtype for array in stored} == {np.dtype(np.float16)}
    assert all(
        np.array_equal(array, other.astype(np.float16)) for array, other in zip(stored, arrays, strict=True)
    )


@pytest.mark.parametrize("name", ["whole", "half"])
def test_golden_scores_are_those_of_the_stored_weights(
    network: Any, models: dict[str, Classifier], name: str
) -> None:
    from workers.inference import weights
    from workers.models.folder import golden_scores

    card = models[name].card
    weights.load_weights(network, models[name])
    assert card.golden == pytest.approx(golden_scores(network, card), abs=2e-6)
    assert card.golden is not None
    assert len(set(card.golden)) == 2


def test_golden_scores_of_rounded_weights_are_not_those_of_the_whole(models: dict[str, Classifier]) -> None:
    assert models["whole"].card.golden != models["half"].card.golden


def test_a_card_that_names_the_outputs_in_another_order_is_refused(
    network: Any, models: dict[str, Classifier]
) -> None:
    from workers.inference import weights

    model = models["whole"]
    swapped = model.card.model_copy(update={"findings": ("Hernia", "Mass")})
    with pytest.raises(ConfigError, match=r"output 1 .* is Mass, .* finding 1 is Hernia"):
        weights.load_weights(network, Model(folder=model.folder, card=swapped))


def test_a_field_that_no_card_could_have_is_refused_and_nothing_is_left_behind(
    tmp_path: Path, arrays: Arrays
) -> None:
    from workers.models.folder import write_model

    with pytest.raises(ConfigError, match=r"model whole: .*thresholds"):
        write_model(tmp_path / "models", FACTS | {"thresholds": (2.0, 0.5)}, arrays)
    assert list(tmp_path.iterdir()) == []


def test_a_taken_name_is_refused_and_what_is_there_stays(tmp_path: Path, arrays: Arrays) -> None:
    from workers.models.folder import write_model

    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "mine.txt").write_text("precious")
    with pytest.raises(ConfigError, match="is there already") as caught:
        write_model(tmp_path, FACTS, arrays)
    assert str(tmp_path / "whole") in str(caught.value)
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
        "whole",
        "whole/mine.txt",
    ]


@pytest.mark.parametrize("wrong", ["shape", "number"])
def test_arrays_that_do_not_fit_are_refused_and_nothing_is_left_behind(
    tmp_path: Path, arrays: Arrays, wrong: str
) -> None:
    from workers.models.folder import write_model

    other = [*arrays[:-1], np.zeros(3, np.float32)] if wrong == "shape" else arrays[:-1]
    shapes = r"is \(3,\), but .* is \(2,\)"
    counts = re.escape(f"holds {len(arrays) - 1} arrays") + f".*has {len(arrays)}"
    with pytest.raises(ConfigError, match=shapes if wrong == "shape" else counts):
        write_model(tmp_path, FACTS, other)
    assert list(tmp_path.iterdir()) == []


def test_a_training_of_a_taken_name_is_refused_before_it_begins(tmp_path: Path) -> None:
    def never(*_: Any) -> None:
        pytest.fail("it began")

    from workers.training.plan import Reporter

    (tmp_path / "models" / "mine").mkdir(parents=True)
    with pytest.raises(ConfigError, match="is there already; choose another --name"):
        train(plan_of(tmp_path), tmp_path / "models", tmp_path / "kept", Reporter(*[never] * 4))
    assert not (tmp_path / "kept").exists()
