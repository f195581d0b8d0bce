"""DICOM films through every command: demo, report and overlays, training, and a brought model's scores."""

import csv
import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from support import Nightread

from config.cards.model import read_model, require_classifier
from jobs.phantoms.archive import plan_archive, write_archive

pytestmark = pytest.mark.processes

SIZE = 64


@pytest.mark.timeout(900)
def test_the_demo_draws_scores_and_reports_dicom_films(nightread: Nightread, tmp_path: Path) -> None:
    nightread.environment["NIGHTREAD_CHILDREN"] = "1"
    for format_, folder in (("dicom", tmp_path / "films"), ("png", tmp_path / "pictures")):
        done = nightread.run("demo", "--images", "28", "--format", format_, "--folder", folder, timeout=400)
        assert done.returncode == 0, done.stderr + nightread.logs()
    films = nightread.sql("SELECT run_id, greyscale, padded, spacing_down FROM films")
    assert films == [{"run_id": 1, "greyscale": "window", "padded": 0, "spacing_down": 0.35}] * 28

    # What a film scores, negative or not, its picture does; only, a PNG is resized in whole greys.
    rows = nightread.sql("SELECT run_id, image_index, finding, probability FROM scores")
    scores: dict[int, dict[tuple[str, str], float]] = {1: {}, 2: {}}
    for row in rows:
        scores[row["run_id"]][row["image_index"].partition(".")[0], row["finding"]] = row["probability"]
    assert len(scores[1]) == 28 * 14
    assert scores[1] == pytest.approx(scores[2], abs=0.02)

    page = (tmp_path / "films" / "report.html").read_text(encoding="utf-8")
    assert '<section id="films">' in page
    assert '<th scope="row" class="text">by their window</th><td>28</td><td>0</td>' in page
    assert '<section id="films">' not in (tmp_path / "pictures" / "report.html").read_text(encoding="utf-8")

    boxes = nightread.sql(
        "SELECT image_index, finding, overlay_path, box_width, box_width_mm, spacing FROM heatmaps "
        "WHERE run_id = 1 AND overlay_path IS NOT NULL"
    )
    assert boxes
    assert {row["spacing"] for row in boxes} == {"PixelSpacing"}
    for row in boxes:
        assert row["box_width_mm"] == pytest.approx(0.35 * row["box_width"])
    assert_overlays_are_those_of_pictures(nightread, boxes)

    shown = boxes[0]
    written = tmp_path / "one.png"
    drawn = nightread.call("heatmap", "1", shown["image_index"], "--finding", shown["finding"], "-o", written)
    assert drawn.returncode == 0, drawn.stderr
    of_picture = tmp_path / "other.png"
    name = shown["image_index"].replace(".dcm", ".png")
    drawn = nightread.call("heatmap", "2", name, "--finding", shown["finding"], "-o", of_picture)
    assert drawn.returncode == 0, drawn.stderr
    assert np.abs(pixels_of(written) - pixels_of(of_picture)).mean() < 2


def assert_overlays_are_those_of_pictures(nightread: Nightread, boxes: list[dict[str, Any]]) -> None:
    folder = nightread.home / "heatmaps"
    paths = {
        (row["image_index"].partition(".")[0], row["finding"]): row["overlay_path"]
        for row in nightread.sql("SELECT image_index, finding, overlay_path FROM heatmaps WHERE run_id = 2")
    }
    for row in boxes[:5]:
        film = pixels_of(folder / row["overlay_path"])
        picture = pixels_of(folder / paths[row["image_index"].partition(".")[0], row["finding"]])
        assert film.shape == picture.shape
        assert np.abs(film - picture).mean() < 2


def pixels_of(path: Path) -> NDArray[np.int64]:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"), dtype=np.int64)


def equalised(path: Path) -> NDArray[np.uint8]:
    """A film as MIMIC-CXR-JPG would have it, by pydicom and OpenCV."""
    dataset = dcmread(io.BytesIO(path.read_bytes()))
    values = dataset.pixel_array.astype(np.int64)
    greys = ((values - values.min()) / np.ptp(values) * 255).astype(np.uint8)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        greys = np.asarray(255 - greys, dtype=np.uint8)
    return np.asarray(cv2.equalizeHist(greys), dtype=np.uint8)


@pytest.mark.timeout(900)
def test_a_model_is_trained_on_films_in_the_greyscale_that_its_card_keeps(
    nightread: Nightread, tmp_path: Path
) -> None:
    plan = plan_archive(40, seed=12, prevalence={"Cardiomegaly": 0.5}, ending="dcm")
    boundary = plan[24].patient_id
    for name, of_split in (("train", True), ("valid", False)):
        write_archive(tmp_path / name, [one for one in plan if (one.patient_id < boundary) is of_split])
    films = [tmp_path / split / "images" for split in ("train", "valid")]
    done = nightread.run(
        *("train", tmp_path / "train" / "manifest.csv", "--images", films[0], "--name", "mine"),
        *("--valid", tmp_path / "valid" / "manifest.csv", "--valid-images", films[1]),
        *("--findings", "Cardiomegaly", "--size", str(SIZE), "--epochs", "1", "--batch-size", "8"),
        *("--greyscale", "equalized"),
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    card = require_classifier(read_model(nightread.home / "models" / "mine")).card
    assert card.pixels.greyscale == "equalized"
    assert card.golden_film is not None
    assert card.training is not None
    assert card.training.unusable_images == 0
    resized = [
        np.asarray(Image.fromarray(equalised(path)).resize((SIZE, SIZE), Image.Resampling.BILINEAR))
        for path in sorted(films[0].iterdir())
    ]
    assert card.pixels.mean[0] == pytest.approx(np.mean(resized), abs=0.01)
    assert card.pixels.std[0] == pytest.approx(np.std(resized), abs=0.01)

    nightread.environment["NIGHTREAD_CHILDREN"] = "1"
    manifest = tmp_path / "valid" / "manifest.csv"
    scored = nightread.run("score", manifest, "--images", films[1], "--model", "mine", timeout=400)
    assert scored.returncode == 0, scored.stderr + nightread.logs()
    (found,) = nightread.sql("SELECT DISTINCT greyscale FROM films")
    assert found == {"greyscale": "equalized"}
    # Scoring prepares films as training did: the figure of the validation split is found again.
    assert card.figures is not None
    (auc,) = nightread.sql("SELECT auroc FROM auc WHERE subgroup = 'all' AND finding = 'Cardiomegaly'")
    assert auc["auroc"] == pytest.approx(card.figures["validation AUROC"]["Cardiomegaly"], abs=0.02)


@pytest.mark.timeout(900)
@pytest.mark.usefixtures("tensorflow")
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
def test_a_brought_model_is_compared_with_its_scores_of_films(nightread: Nightread, tmp_path: Path) -> None:
    import keras

    from workers.inference.networks.network import seeded_weights

    trunk = keras.applications.DenseNet121(
        include_top=False, weights=None, input_shape=(SIZE, SIZE, 3), pooling="avg"
    )
    network = keras.Model(trunk.input, keras.layers.Dense(2, "sigmoid")(trunk.output))
    network.set_weights(seeded_weights(network, 11))
    network.save_weights(tmp_path / "ward.weights.h5")
    write_archive(tmp_path, plan_archive(3, seed=5, ending="dcm"))
    films = sorted((tmp_path / "images").iterdir())
    resized = [
        Image.fromarray(equalised(path)).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        for path in films
    ]
    inputs = np.stack([(np.asarray(picture, dtype=np.float32) - 120) / 60 for picture in resized])
    scores = np.asarray(network(inputs, training=False)).tolist()
    with (tmp_path / "home.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow(["Image Index", "Mass", "Edema"])
        csv.writer(file).writerows([path.name, *numbers] for path, numbers in zip(films, scores, strict=True))
    command = (
        *("models", "add", tmp_path / "ward.weights.h5", "--layout", "keras", "--findings", "Mass,Edema"),
        *("--size", str(SIZE), "--resize", "bilinear", "--mean", "120", "--std", "60"),
        *("--expect", tmp_path / "home.csv", "--images", tmp_path / "images"),
    )
    refused = nightread.run(*command, timeout=400)
    assert refused.returncode == 2, refused.stderr
    assert "with --greyscale equalized they are the same" in refused.stderr.replace("\n", " ")
    added = nightread.run(*command, "--greyscale", "equalized", timeout=400)
    assert added.returncode == 0, added.stderr
    assert "for 3 images and 2 of 2 findings" in added.stdout.replace("\n", " ")
    card = require_classifier(read_model(nightread.home / "models" / "ward")).card
    assert card.pixels.greyscale == "equalized"
    assert card.home is not None
    assert card.home.difference < 1e-5
