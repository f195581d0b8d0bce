"""`nightread models` as its user runs it: models of other findings, from a file to rows in SQL."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gate_support import chest
from PIL import Image
from support import CLASSIFIER_CARD, Nightread

from config.findings import FINDINGS
from jobs.phantoms.archive import plan_archive, write_archive
from workers.models.folder import write_model
from workers.models.gate import LEAST_PICTURES

EIGHTEEN = (*FINDINGS, "Lung Lesion", "Fracture", "Lung Opacity", "Enlarged Cardiomediastinum")
SIZE = 64

pytestmark = [
    pytest.mark.processes,
    pytest.mark.usefixtures("tensorflow"),
    # Keras' own code for saving, with TensorFlow's variables and NumPy 2; it is not what is tested here.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three phantoms, one of them with Pneumonia."""
    folder = tmp_path_factory.mktemp("phantoms")
    planned = plan_archive(28, seed=5)
    ill = next(phantom for phantom in planned if "Pneumonia" in phantom.findings)
    well = [phantom for phantom in planned if "Pneumonia" not in phantom.findings][:2]
    write_archive(folder, [ill, *well])
    return folder


def brought(outputs: int) -> Any:
    """Build a network at home, with weights that say something."""
    import keras

    from workers.inference.networks.network import seeded_weights

    trunk = keras.applications.DenseNet121(
        include_top=False, weights=None, input_shape=(SIZE, SIZE, 3), pooling="avg"
    )
    network = keras.Model(trunk.input, keras.layers.Dense(outputs, "sigmoid")(trunk.output))
    network.set_weights(seeded_weights(network, 11))
    return network


def scores_at_home(network: Any, images: Path) -> dict[str, list[float]]:
    """Score as its owner did: Pillow's bilinear resize, less 120, through 60."""
    inputs, names = [], []
    for path in sorted(images.glob("*.png")):
        resized = Image.open(path).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        inputs.append((np.asarray(resized, dtype=np.float32) - 120) / 60)
        names.append(path.name)
    return dict(zip(names, np.asarray(network(np.stack(inputs), training=False)).tolist(), strict=True))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("findings", [("Pneumonia",), EIGHTEEN], ids=["one finding", "18 findings"])
def test_model_of_other_findings_scores_here_as_it_did_at_home(
    nightread: Nightread, phantoms: Path, tmp_path: Path, findings: tuple[str, ...]
) -> None:
    network = brought(len(findings))
    network.save_weights(tmp_path / "ward.weights.h5")
    options = ("--layout", "keras", "--findings", ",".join(findings), "--size", str(SIZE))
    pixels = ("--resize", "bilinear", "--mean", "120", "--std", "60")
    images = phantoms / "images"
    home = scores_at_home(network, images)
    with (tmp_path / "home.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow(["Image Index", *findings])
        csv.writer(file).writerows([name, *probabilities] for name, probabilities in home.items())
    expected = ("--expect", tmp_path / "home.csv", "--images", images)
    added = nightread.run(
        "models", "add", tmp_path / "ward.weights.h5", *options, *pixels, *expected, timeout=600
    )
    assert added.returncode == 0, added.stderr
    assert f"model ward: {len(findings)} finding" in added.stdout
    assert re.search(rf"home.csv: at most \S+ apart .* 3 images and {len(findings)} of", added.stdout)
    assert "Warning" not in added.stderr

    shown = json.loads(nightread.call("models", "show", "ward", "--json").stdout)
    assert shown["findings"] == list(findings)
    assert 0 <= shown["home"]["difference"] < 1e-5
    listed = nightread.call("models", "list")
    assert listed.returncode == 0, listed.stderr
    assert re.search(
        rf"ward\W+yours\W+densenet121\W+{len(findings)}\W+yes\W+[0-9e.-]+ from home.csv\W+"
        rf"{shown['sha256'][:12]}",
        listed.stdout,
    )
    assert nightread.sql("SELECT name, sha256 FROM model") == [{"name": "ward", "sha256": shown["sha256"]}]

    nightread.environment["NIGHTREAD_CHILDREN"] = "1"
    scored = nightread.run(
        "score", phantoms / "manifest.csv", "--images", images, "--model", "ward", timeout=600
    )
    assert scored.returncode == 0, scored.stderr + nightread.logs()
    rows = nightread.sql(
        "SELECT image_index, finding, probability, label, model_sha256 "
        "FROM scores JOIN progress ON progress.run_id = scores.run_id WHERE scores.run_id = 1"
    )
    assert {row["model_sha256"] for row in rows} == {shown["sha256"]}
    expected_here = {
        (name, finding): probability
        for name, probabilities in home.items()
        for finding, probability in zip(findings, probabilities, strict=True)
    }
    here = {(row["image_index"], row["finding"]): row["probability"] for row in rows}
    assert len(here) == 3 * len(findings)
    assert here == pytest.approx(expected_here, abs=1e-4)
    # The manifest knows 14 findings; of the others nobody said whether they are there.
    assert {row["finding"] for row in rows if row["label"] is None} == set(findings) - set(FINDINGS)

    auc = nightread.sql("SELECT finding, auroc, n_positive, model_sha256 FROM auc WHERE subgroup = 'all'")
    assert {row["finding"] for row in auc} == set(findings)
    assert {row["model_sha256"] for row in auc} == {shown["sha256"]}
    (pneumonia,) = [row for row in auc if row["finding"] == "Pneumonia"]
    assert pneumonia["n_positive"] == 1
    assert pneumonia["auroc"] is not None
    maps = nightread.sql("SELECT COUNT(*) AS n FROM heatmaps WHERE run_id = 1")
    assert maps == [{"n": 3 * len(findings)}]


@pytest.mark.timeout(900)
def test_a_fitted_gate_tells_other_pictures_in_the_next_run(
    nightread: Nightread, phantoms: Path, tmp_path: Path
) -> None:
    random = np.random.default_rng(5)
    known = tmp_path / "known"
    known.mkdir()
    names = [f"{number:03d}.png" for number in range(LEAST_PICTURES)]
    for name in names:
        Image.fromarray(chest(random)).save(known / name)
    (known / "broken.png").write_bytes(b"")
    table = tmp_path / "known.csv"
    table.write_text("\n".join(["Image Index", *names, "broken.png"]) + "\n", encoding="utf-8")
    fit = ("models", "fit-gate", "mine", "--manifest", table, "--images", known)
    refused = nightread.call("models", "fit-gate", "untrained", *fit[3:])
    assert refused.returncode == 2
    assert "comes with Nightread" in refused.stderr

    written = {"kind", "sha256", "golden"}
    facts = {name: value for name, value in CLASSIFIER_CARD.items() if name not in written}
    pixels = facts["pixels"] | {"size": SIZE, "channels": 3, "mean": [120.0] * 3, "std": [60.0] * 3}
    mine = write_model(tmp_path, facts | {"pixels": pixels}, brought(len(FINDINGS)).get_weights())
    assert nightread.run("models", "add", mine.folder, timeout=600).returncode == 0
    fitted = nightread.run(*fit, timeout=600)
    assert fitted.returncode == 0, fitted.stderr
    assert f"fitted on {LEAST_PICTURES} images" in fitted.stdout
    assert "images that cannot be used: 1, the first: broken.png: empty" in fitted.stderr

    nightread.environment["NIGHTREAD_CHILDREN"] = "1"
    scored = nightread.run(
        "score", phantoms / "manifest.csv", "--images", phantoms / "images", "--model", "mine", timeout=600
    )
    assert scored.returncode == 0, scored.stderr + nightread.logs()
    assert "3 of 3 images are not like those that the model knows" in scored.stderr
    rows = nightread.sql("SELECT flag, feature_distance, picture_distance FROM quality")
    assert len(rows) == 3
    assert all(row["flag"] for row in rows)
    assert all(max(row["feature_distance"], row["picture_distance"]) > 1 for row in rows)


def test_refused_model_leaves_neither_folder_nor_row_and_says_why_in_one_line(
    nightread: Nightread, tmp_path: Path
) -> None:
    (tmp_path / "brought.h5").write_bytes(b"\x89HDF\r\n\x1a\n and no more")
    for arguments, says in (
        ((tmp_path / "brought.h5",), "--layout is needed"),
        ((tmp_path / "brought.h5", "--layout", "course"), "needs --manifest and --images"),
        ((tmp_path / "brought.h5", "--layout", "chexnet-keras"), "brought.h5"),
        ((tmp_path / "gone.h5", "--layout", "chexnet-keras"), "gone.h5: there is no such file"),
        ((tmp_path / "brought.h5", "--layout", "chexnet-keras", "--name", "stub"), "already"),
        ((tmp_path,), "card.yaml"),
    ):
        done = nightread.call("models", "add", *arguments)
        assert done.returncode == 2, (arguments, done.stderr)
        assert says in done.stderr, (arguments, done.stderr)
        (line,) = [line for line in done.stderr.splitlines() if "error" in line]
        assert line.startswith("error: ")
        assert "Traceback" not in done.stderr
    models = nightread.home / "models"
    assert [path.name for path in models.iterdir()] == ["stub"], "the fixture's own"
    assert nightread.sql("SELECT COUNT(*) AS n FROM model") == [{"n": 0}]
    assert nightread.call("models", "show", "gone").returncode == 2
