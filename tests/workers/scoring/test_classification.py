"""Every image of a batch gets exactly one outcome, and it is its own."""

import logging
import resource
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest
from dicom_support import film
from gate_support import chest, picture
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from support import CLASSIFIER_CARD, claim_of

from config.cache import Cache
from config.cards.classification import ClassificationCard, GateCard, GatePolicy
from config.content import Content
from config.films import Recipe
from config.quality import Flag
from db.classifications import Classification
from db.ledger import Claim
from db.outcomes import Failed, Outcome
from jobs.errors import SourceAwayError
from jobs.sources.folder import FolderSource
from workers.inference.engine import Inference
from workers.inference.ensemble import Ensemble
from workers.inference.formats.decode import decode, picture_of
from workers.inference.formats.picture import Picture
from workers.inference.gate import look_at
from workers.inference.pixels import prepare_views
from workers.models.gate import LEAST_PICTURES, fit
from workers.outputs.folder import OutputAwayError
from workers.outputs.overlays import Overlays
from workers.prepared import pictures
from workers.scoring.classification import ClassificationScorer

FINDINGS = ("Mass", "Nodule", "Edema")
CARD = ClassificationCard.model_validate(
    CLASSIFIER_CARD
    | {"findings": FINDINGS, "thresholds": (0.5, 0.25, 1.0), "golden": (0.5,) * 3}
    | {"pixels": CLASSIFIER_CARD["pixels"] | {"size": 32, "factor": 1 / 255, "least_contrast": 0}}
)
WIDTH, HEIGHT = 60, 45


@dataclass
class FakeEngine:
    """Stands in for the network, so that a test can choose what it answers; pictures and files are real.

    Mass is the picture's mean grey value, of 0 to 1. Maps point to the place of (finding, finding), with
    `maps_by_mean` as high as Mass.
    """

    name = "fake"
    batch: int = 4
    maps: NDArray[np.float32] = field(
        default_factory=lambda: np.eye(10, dtype=np.float32)[:, :, None] * np.eye(10, 3, dtype=np.float32)
    )
    not_finite_above: float = 2.0
    not_finite: float = np.nan
    calls: list[int] = field(default_factory=list)
    maps_by_mean: bool = False

    def infer(self, inputs: NDArray[np.float32]) -> Inference:
        assert 1 <= len(inputs) <= self.batch
        self.calls.append(len(inputs))
        mean = inputs.mean(axis=(1, 2, 3))
        probabilities = np.stack([mean, np.full_like(mean, 0.25), np.full_like(mean, 0.75)], axis=-1)
        probabilities[mean > self.not_finite_above, 1] = self.not_finite
        maps = np.repeat(self.maps[None], len(inputs), axis=0)
        maps = maps * mean[:, None, None, None] if self.maps_by_mean else maps
        return Inference(probabilities, maps, np.zeros((len(inputs), 4), dtype=np.float32))


def name_of(grey: int) -> str:
    return f"{grey:03d}.png"


BAD = {"absent.png": "missing", "empty.png": "empty", "text.png": "wrong_format", "cut.png": "truncated"}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one plain picture of each of some greys, and with some that cannot be read."""
    root = tmp_path_factory.mktemp("archive")
    for grey in range(0, 256, 15):
        assert cv2.imwrite(str(root / name_of(grey)), np.full((HEIGHT, WIDTH), grey, dtype=np.uint8))
    (root / "empty.png").touch()
    (root / "text.png").write_text("no picture", encoding="utf-8")
    (root / "cut.png").write_bytes((root / name_of(0)).read_bytes()[:-20])
    return root


def alone(engine: FakeEngine, card: ClassificationCard = CARD) -> Ensemble:
    return Ensemble.alone(card, engine)


def claim(root: Path, names: Sequence[str], heatmaps: str = "none") -> Claim:
    return claim_of(CARD, root, names, heatmaps)


def scorer(overlays: Path, engine: FakeEngine | None = None) -> ClassificationScorer:
    return ClassificationScorer(
        CARD, alone(engine or FakeEngine()), overlays=Overlays(overlays), max_pixels=100_000
    )


def by_image(outcomes: list[Outcome]) -> dict[int, Outcome]:
    found = {outcome.image_id: outcome for outcome in outcomes}
    assert len(found) == len(outcomes)
    return found


def only(outcomes: list[Outcome]) -> Classification:
    (outcome,) = outcomes
    assert isinstance(outcome, Classification)
    return outcome


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


# --- one outcome an image ----------------------------------------------------------------------------------


@given(
    names=st.lists(st.sampled_from([*BAD, *(name_of(grey) for grey in range(0, 256, 15))]), max_size=30),
    batch=st.integers(1, 8),
)
@settings(max_examples=50, deadline=None)
def test_every_image_gets_its_own_outcome_whatever_stands_beside_it(
    archive: Path, names: list[str], batch: int
) -> None:
    engine = FakeEngine(batch)
    found = by_image(scorer(archive, engine).score(claim(archive, names)))
    assert found.keys() == {100 + index for index in range(len(names))}
    for index, name in enumerate(names):
        outcome = found[100 + index]
        if name in BAD:
            assert isinstance(outcome, Failed)
            assert (outcome.stage, outcome.reason) == ("read", BAD[name])
        else:
            assert isinstance(outcome, Classification)
            assert (outcome.width, outcome.height) == (WIDTH, HEIGHT)
            assert [score.finding for score in outcome.scores] == list(FINDINGS)
            assert outcome.scores[0].probability == pytest.approx(int(name[:3]) / 255, abs=1e-5)
    # Unreadable pictures leave no holes: all calls but the last one are full.
    assert all(count == batch for count in engine.calls[:-1])


def test_batch_of_unreadable_images_asks_the_network_nothing(archive: Path, tmp_path: Path) -> None:
    engine = FakeEngine()
    outcomes = scorer(tmp_path, engine).score(claim(archive, list(BAD)))
    assert len(outcomes) == len(BAD)
    assert engine.calls == []


def test_one_scorer_scores_batch_after_batch(archive: Path, tmp_path: Path) -> None:
    same = scorer(tmp_path)
    for grey in (0, 150, 255):
        assert only(same.score(claim(archive, [name_of(grey)]))).scores[0].probability == pytest.approx(
            grey / 255, abs=1e-5
        )


@pytest.mark.parametrize("recipe", ["window", "minmax", "maxbit", "equalized"])
def test_a_films_greys_are_made_as_the_card_says(tmp_path: Path, recipe: Recipe) -> None:
    values = np.random.default_rng(4).integers(300, 1500, (HEIGHT, WIDTH)).astype(np.uint16)
    content = film(values, WindowCenter=700, WindowWidth=900)
    (tmp_path / "film").write_bytes(content)
    card = CARD.model_copy(update={"pixels": CARD.pixels.model_copy(update={"greyscale": recipe})})
    ours = ClassificationScorer(
        card, alone(FakeEngine(), card), overlays=Overlays(tmp_path), max_pixels=100_000
    )
    found = only(ours.score(claim(tmp_path, ["film"])))
    assert found.film is not None
    assert found.film.greyscale == recipe
    expected = prepare_views(decode(content, 100_000, recipe), card.pixels).mean()
    assert found.scores[0].probability == pytest.approx(expected, abs=1e-6)


def test_memory_is_flat_over_a_hundred_batches(tmp_path: Path) -> None:
    grey = np.random.default_rng(1).integers(0, 256, (256, 256), dtype=np.uint8)
    names = [name_of(number) for number in range(8)]
    for name in names:
        assert cv2.imwrite(str(tmp_path / name), grey)
    ours = ClassificationScorer(
        CARD, alone(FakeEngine()), overlays=Overlays(tmp_path / "overlays"), max_pixels=1_000_000
    )
    held = claim(tmp_path, names, "all")
    process = psutil.Process()
    resident = []
    for _ in range(100):
        assert len(ours.score(held)) == len(names)
        resident.append(process.memory_info().rss)
    # Were the pictures of the last 80 batches kept, they would be 40 MB.
    assert max(resident[-20:]) - max(resident[:20]) < 10e6


def test_picture_over_the_pixel_limit_is_too_large(archive: Path, tmp_path: Path) -> None:
    small = ClassificationScorer(
        CARD, alone(FakeEngine()), overlays=Overlays(tmp_path), max_pixels=WIDTH * HEIGHT - 1
    )
    (outcome,) = small.score(claim(archive, [name_of(0)]))
    assert isinstance(outcome, Failed)
    assert outcome.reason == "too_large"


def test_picture_that_does_not_fit_into_memory_costs_only_itself(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfit = (archive / name_of(15)).read_bytes()

    def decoded(content: bytes, max_pixels: int, bits: int | None, recipe: Recipe) -> Picture:
        if content == unfit:
            raise MemoryError
        return picture_of(content, max_pixels, bits, recipe)

    monkeypatch.setattr(pictures, "picture_of", decoded)
    found = by_image(scorer(tmp_path).score(claim(archive, [name_of(0), name_of(15), name_of(30)])))
    failed = found[101]
    assert isinstance(failed, Failed)
    assert (failed.stage, failed.reason) == ("read", "too_large")
    assert isinstance(found[100], Classification)
    assert isinstance(found[102], Classification)


def test_every_image_whose_bytes_were_read_has_their_tag(archive: Path, tmp_path: Path) -> None:
    (archive / "damaged.png").write_bytes((archive / name_of(0)).read_bytes()[:60])
    names = [name_of(0), "damaged.png", "absent.png"]
    found = by_image(scorer(tmp_path).score(claim(archive, names)))
    scored, damaged, absent = (found[number] for number in (100, 101, 102))
    assert isinstance(scored, Classification)
    assert isinstance(damaged, Failed)
    assert isinstance(absent, Failed)
    for name, tag in ((name_of(0), scored.tag), ("damaged.png", damaged.tag)):
        status = (archive / name).stat()
        assert tag == f"{status.st_size}-{status.st_mtime_ns}"
    assert absent.tag is None


def test_a_source_that_is_away_is_no_images_failure(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading = FolderSource.read

    def read(source: FolderSource, name: str, max_bytes: int) -> Content:
        if name == name_of(15):
            raise SourceAwayError("the folder's server does not answer")
        return reading(source, name, max_bytes)

    monkeypatch.setattr(FolderSource, "read", read)
    names = [name_of(0), name_of(15), name_of(30)]
    ours = scorer(tmp_path)
    with pytest.raises(SourceAwayError, match="does not answer"):
        ours.score(claim(archive, names))
    monkeypatch.setattr(FolderSource, "read", reading)
    assert len(ours.score(claim(archive, names))) == 3


@pytest.mark.parametrize("policy", ["flag", "refuse"])
def test_a_picture_that_the_gate_does_not_pass_is_flagged_or_fails(
    tmp_path: Path, policy: GatePolicy
) -> None:
    random = np.random.default_rng(3)
    known = [chest(random) for _ in range(LEAST_PICTURES)]
    gate = fit([look_at(picture(values)) for values in known], random.normal(1, 0.1, (len(known), 4)))
    # The fake network's features are all 0; here it is the picture that decides.
    features = replace(gate.known.features, mean=np.zeros(4, dtype=np.float32))
    gate = replace(gate, known=replace(gate.known, features=features))
    usual = chest(random)
    assert cv2.imwrite(str(tmp_path / "usual.png"), usual)
    assert cv2.imwrite(str(tmp_path / "turned.png"), np.rot90(usual, -1))
    card = CARD.model_copy(update={"gate": GateCard(sha256="0" * 64, images=len(known), policy=policy)})
    ours = ClassificationScorer(
        card,
        alone(FakeEngine(), card),
        overlays=Overlays(tmp_path / "overlays"),
        max_pixels=1_000_000,
        gate=gate,
    )
    found = by_image(ours.score(claim(tmp_path, ["usual.png", "turned.png"])))
    passed, other = found[100], found[101]
    assert isinstance(passed, Classification)
    assert passed.quality is not None
    assert passed.quality.flag is None
    if policy == "refuse":
        assert isinstance(other, Failed)
        assert (other.stage, other.reason) == ("score", "unlike")
        assert other.message.startswith("rotated_90: ")
    else:
        assert isinstance(other, Classification)
        assert other.quality is not None
        assert other.quality.flag is Flag.ROTATED_90


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_score_that_is_no_number_fails_its_image_and_no_other(
    archive: Path, tmp_path: Path, value: float
) -> None:
    engine = FakeEngine(not_finite_above=0.9, not_finite=value)
    names = [name_of(0), name_of(255), name_of(150)]
    found = by_image(scorer(tmp_path, engine).score(claim(archive, names, "all")))
    failed = found[101]
    assert isinstance(failed, Failed)
    assert (failed.stage, failed.reason) == ("score", "not_finite")
    assert isinstance(found[100], Classification)
    assert isinstance(found[102], Classification)
    assert not any(name_of(255) in path for path in files(tmp_path))


# --- heatmaps ----------------------------------------------------------------------------------------------


def test_without_heatmaps_there_are_scores_and_nothing_else(archive: Path, tmp_path: Path) -> None:
    found = only(scorer(tmp_path).score(claim(archive, [name_of(255)], "none")))
    assert found.maps is None
    assert found.map_shape is None
    assert all((score.peak, score.box, score.overlay_path) == (None, None, None) for score in found.scores)
    assert not files(tmp_path)


def test_positive_heatmaps_are_drawn_from_the_threshold_on(archive: Path, tmp_path: Path) -> None:
    # Mass 0.59 of 0.5, Nodule just 0.25 of 0.25, Edema 0.75 of 1.
    found = only(scorer(tmp_path).score(claim(archive, [name_of(150)], "positive")))
    drawn = {score.finding for score in found.scores if score.overlay_path}
    assert drawn == {"Mass", "Nodule"}
    assert files(tmp_path) == {score.overlay_path for score in found.scores if score.overlay_path}
    assert all(score.peak and score.box for score in found.scores)


def test_all_heatmaps_are_drawn_whatever_the_score(archive: Path, tmp_path: Path) -> None:
    found = only(scorer(tmp_path).score(claim(archive, [name_of(0)], "all")))
    assert files(tmp_path) == {f"run-000007/{finding}/000.png.jpg" for finding in FINDINGS}
    assert [score.overlay_path for score in found.scores] == [
        f"run-000007/{finding}/000.png.jpg" for finding in FINDINGS
    ]
    for score in found.scores:
        picture = cv2.imread(str(tmp_path / (score.overlay_path or "")))
        assert picture is not None
        assert picture.shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("heatmaps", ["positive", "all"])
def test_stored_maps_are_the_networks_in_half_precision(archive: Path, tmp_path: Path, heatmaps: str) -> None:
    engine = FakeEngine(maps=np.random.default_rng(2).random((10, 10, 3), dtype=np.float32))
    found = only(scorer(tmp_path, engine).score(claim(archive, [name_of(0)], heatmaps)))
    assert found.map_shape == (10, 10)
    stored = np.frombuffer(found.maps or b"", dtype="<f2").reshape(10, 10, 3)
    assert np.array_equal(stored, engine.maps.astype(np.float16))


def test_peak_and_box_are_in_pixels_of_the_original_image(archive: Path, tmp_path: Path) -> None:
    found = only(scorer(tmp_path).score(claim(archive, [name_of(0)], "all")))
    assert [score.peak for score in found.scores] == [(3, 2), (9, 6), (15, 11)]
    for score in found.scores:
        assert score.peak
        assert score.box
        x, y, width, height = score.box
        assert 0 <= x <= score.peak[0] < x + width <= WIDTH
        assert 0 <= y <= score.peak[1] < y + height <= HEIGHT


def test_empty_map_has_no_peak_no_box_and_no_overlay(archive: Path, tmp_path: Path) -> None:
    engine = FakeEngine(maps=np.zeros((10, 10, 3), dtype=np.float32))
    found = only(scorer(tmp_path, engine).score(claim(archive, [name_of(255)], "all")))
    assert all((score.peak, score.box, score.overlay_path) == (None, None, None) for score in found.scores)
    assert found.maps == bytes(2 * 10 * 10 * 3)
    assert not files(tmp_path)


def test_disk_that_takes_no_overlay_is_waited_for(archive: Path, tmp_path: Path) -> None:
    held = claim(archive, [name_of(255), name_of(0)], "all")
    engine = FakeEngine()
    asked = scorer(tmp_path, engine)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The system refuses every byte of a file, as a full disk does.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        for _ in range(2):
            with pytest.raises(OutputAwayError, match=r"an overlay cannot be written below .+ now: File"):
                asked.score(held)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not files(tmp_path)
    assert len(engine.calls) == 1, "the second time it was known before the network computed"
    for outcome in by_image(asked.score(held)).values():
        assert isinstance(outcome, Classification)
        assert all(score.overlay_path and score.peak for score in outcome.scores)
    assert len(files(tmp_path)) == 2 * 3


def test_overlay_folder_that_is_a_file_costs_no_score(
    archive: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "overlays").touch()
    with caplog.at_level(logging.WARNING):
        found = only(scorer(tmp_path / "overlays").score(claim(archive, [name_of(255)], "all")))
    assert [score.overlay_path for score in found.scores] == [None] * 3
    assert found.scores[0].probability == pytest.approx(1.0)
    assert found.maps
    assert "an overlay was not written" in caplog.text


def test_image_in_a_folder_has_its_overlay_in_a_folder(archive: Path, tmp_path: Path) -> None:
    (archive / "sub" / "folder").mkdir(parents=True, exist_ok=True)
    (archive / "sub" / "folder" / "x.png").write_bytes((archive / name_of(255)).read_bytes())
    scorer(tmp_path).score(claim(archive, ["sub/folder/x.png"], "all"))
    assert "run-000007/Mass/sub/folder/x.png.jpg" in files(tmp_path)


# --- prepared pictures that are kept -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def chests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three pictures and a film, and two that fail."""
    root = tmp_path_factory.mktemp("chests")
    random = np.random.default_rng(3)
    for number in range(3):
        assert cv2.imwrite(str(root / f"{number}.png"), cv2.resize(chest(random), (700, 650)))
    words = np.arange(60 * 70, dtype=np.uint16).reshape(60, 70)
    (root / "film.dcm").write_bytes(film(words, BitsStored=13, HighBit=12))
    (root / "cut.png").write_bytes((root / "0.png").read_bytes()[:-20])
    return root


@pytest.mark.parametrize("heatmaps", ["none", "positive", "all"])
def test_outcomes_and_overlays_are_the_same_with_a_cache_and_the_second_time_nothing_is_read(
    chests: Path,
    tmp_path: Path,
    heatmaps: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    random = np.random.default_rng(4)
    known = [look_at(picture(chest(random))) for _ in range(LEAST_PICTURES)]
    gate = fit(known, random.normal(1, 0.1, (len(known), 4)))
    held = claim(chests, ["0.png", "cut.png", "1.png", "film.dcm", "absent.png", "2.png"], heatmaps)
    reading, read = FolderSource.read, []

    def remembered(source: FolderSource, name: str, max_bytes: int) -> Content:
        read.append(name)
        return reading(source, name, max_bytes)

    monkeypatch.setattr(FolderSource, "read", remembered)
    kept = Cache(tmp_path / "cache", 1 << 30)
    passes = []
    for folder, cache in (("without", None), ("first", kept), ("second", kept)):
        read.clear()
        ours = ClassificationScorer(
            CARD,
            alone(FakeEngine()),
            overlays=Overlays(tmp_path / folder),
            max_pixels=1_000_000,
            gate=gate,
            cache=cache,
        )
        with caplog.at_level(logging.INFO):
            passes.append(by_image(ours.score(held)))
    assert sorted(read) == ["absent.png", "cut.png"]
    assert passes[0] == passes[1] == passes[2]
    assert sum(isinstance(outcome, Classification) for outcome in passes[2].values()) == 4
    drawn = files(tmp_path / "without")
    assert bool(drawn) is (heatmaps != "none")
    for folder in ("first", "second"):
        assert files(tmp_path / folder) == drawn
        for path in drawn:
            assert (tmp_path / folder / path).read_bytes() == (tmp_path / "without" / path).read_bytes()
    assert [record.message for record in caplog.records if "kept" in record.message] == [
        f"run 7, batch 1/1: prepared pixels of {count} of 6 images were kept" for count in (0, 4)
    ]


# --- pictures that are not what they seem ------------------------------------------------------------------


def test_pictures_that_are_no_radiographs_fail_by_the_cards_limits(archive: Path, tmp_path: Path) -> None:
    Image.fromarray(np.full((400, 400), 255, dtype=np.uint8)).save(tmp_path / "white.png")
    Image.fromarray(np.zeros((1, 1), dtype=np.uint8)).save(tmp_path / "tiny.png")
    strict = CARD.model_copy(update={"pixels": CARD.pixels.model_copy(update={"least_contrast": 16.0})})
    careful = ClassificationScorer(
        strict, alone(FakeEngine(), strict), overlays=Overlays(archive), max_pixels=200_000
    )
    outcomes = careful.score(claim(tmp_path, ["white.png", "tiny.png"]))
    assert [outcome.reason for outcome in outcomes if isinstance(outcome, Failed)] == [
        "no_contrast",
        "too_small",
    ]


def test_the_runs_bits_say_how_bright_a_16_bit_picture_is(tmp_path: Path) -> None:
    Image.fromarray(np.tile(np.arange(4096, dtype=np.uint16), (64, 1))).save(tmp_path / "deep.png")
    wide = ClassificationScorer(CARD, alone(FakeEngine()), overlays=Overlays(tmp_path), max_pixels=300_000)
    found = only(wide.score(claim_of(CARD, tmp_path, ["deep.png"], bits=12)))
    assert found.scores[0].probability == pytest.approx(0.5, abs=0.01)
    (unsaid,) = wide.score(claim_of(CARD, tmp_path, ["deep.png"]))
    assert isinstance(unsaid, Failed)
    assert unsaid.reason == "wrong_depth"


def test_score_of_ten_crops_is_their_mean_and_the_map_is_the_middles(tmp_path: Path) -> None:
    values = np.random.default_rng(4).integers(0, 256, (40, 80), dtype=np.uint8)
    assert cv2.imwrite(str(tmp_path / "a.png"), values)
    pixels = CARD.pixels.model_copy(update={"resize_first": 36, "ten_crops": True})
    card = CARD.model_copy(update={"pixels": pixels})
    views = prepare_views(Picture(values), pixels)
    engine = FakeEngine(batch=4, maps_by_mean=True)
    scored = ClassificationScorer(
        card, alone(engine, card), overlays=Overlays(tmp_path / "o"), max_pixels=100_000
    )
    outcomes = scored.score(claim_of(card, tmp_path, ["a.png"] * 3, "all"))
    assert sum(engine.calls) == 3 * len(views)
    for outcome in outcomes:
        assert isinstance(outcome, Classification)
        assert outcome.scores[0].probability == pytest.approx(views.mean(), abs=1e-6)
        assert outcome.maps is not None
        stored = np.frombuffer(outcome.maps, "<f2").reshape(10, 10, 3)
        assert stored[0, 0, 0] == np.float16(views[0].mean())
