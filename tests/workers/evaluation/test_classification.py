"""From scores and labels in both databases to an evaluation's rows, checked against scikit-learn."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score
from sqlalchemy import text
from support import LEASE, STUB_CARD, close_run, score_batches, write_card

from config.findings import FINDINGS
from config.settings import Settings
from db import evaluations, recovery
from db.calibration import CalibrationError, calibrate_run
from db.comparisons import find_label_set, write_comparison
from db.database import Database
from db.errors import UnknownRunError
from db.evaluations import EvaluationRequest, ask
from db.runs import RowRange, create_run
from db.scores import LabelledScores, ScoredFinding, read_scores
from jobs.submit import Order, submit
from jobs.tables.label_columns import Uncertain
from jobs.tables.labels import LabelsError, open_labels, store_labels
from jobs.tables.reading import ReadOptions
from workers.evaluation.classification import MOST_VIEWS, figures_of, subgroups
from workers.evaluation.comparison import compare_runs
from workers.evaluation.figures import evaluate

IMAGES = 400
HEADER = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
AGES = (7, 17, 18, 39, 40, 59, 60, 79, 80, 95, "")


def write_labels(path: Path, numbers: range = range(IMAGES), shift: int = 0) -> Path:
    """Labels that follow from the image's number; `shift` gives other labels of the same images."""
    lines = [HEADER]
    for number in numbers:
        names = [name for place, name in enumerate(FINDINGS[:4]) if (number + shift) % (place + 3) == 0]
        person = (
            f"0,{number // 2},{AGES[number % len(AGES)]},{'FM'[number % 2]},{('PA', 'AP', '')[number % 3]}"
        )
        lines.append(f"{number:08d}.png,{'|'.join(names) or 'No Finding'},{person}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def run_of(
    database: Database, folder: Path, manifest: Path, model: str = "stub", images: Path | None = None
) -> int:
    """A run of a stub model that is scored and waits for its closing evaluation."""
    write_card(
        folder / "models", STUB_CARD | {"name": model, "sha256": model.encode().hex().ljust(64, "0")[:64]}
    )
    run_id = submit(database, Settings(home=folder), Order(manifest, images or folder, model, batch_size=64))
    score_batches(database, folder / "models")
    return run_id


def evaluated(database: Database, evaluation_id: int) -> int:
    assert evaluate(database, evaluation_id, LEASE, lambda action: action()) is not None
    return evaluation_id


def rows_of(database: Database, query: str, **values: Any) -> list[dict[str, Any]]:
    with database.read_only() as connection:
        return [dict(row) for row in connection.execute(text(query), values).mappings()]


@pytest.fixture
def run_id(database: Database, tmp_path: Path) -> int:
    return run_of(database, tmp_path, write_labels(tmp_path / "manifest.csv"))


MEMBERS = {
    "all": "1 = 1",
    "sex=F": "sex = 'F'",
    "age=0-17": "age_years < 18",
    "age=18-39": "age_years >= 18 AND age_years < 40",
    "age=60-79": "age_years >= 60 AND age_years < 80",
    "age=80+": "age_years >= 80",
    "view=AP": "view_position = 'AP'",
}


def test_each_subgroup_has_scikit_learns_figures_of_its_own_images(database: Database, run_id: int) -> None:
    evaluation_id = close_run(database, run_id)
    rows = rows_of(database, "SELECT * FROM auc WHERE evaluation_id = :e", e=evaluation_id)
    assert {row["subgroup"] for row in rows} == {
        *("all", "sex=F", "sex=M", "view=AP", "view=PA"),
        *("age=0-17", "age=18-39", "age=40-59", "age=60-79", "age=80+"),
    }
    for subgroup, members in MEMBERS.items():
        query = "SELECT label, probability FROM scores WHERE run_id = :run AND finding = 'Effusion' AND "
        query += members
        frame = pd.DataFrame(rows_of(database, query, run=run_id))
        (row,) = [row for row in rows if (row["subgroup"], row["finding"]) == (subgroup, "Effusion")]
        assert row["n_positive"] + row["n_negative"] == len(frame) > 0
        assert row["auroc"] == pytest.approx(roc_auc_score(frame["label"], frame["probability"]))
        precision = average_precision_score(frame["label"], frame["probability"])
        assert row["average_precision"] == pytest.approx(precision)
        assert row["ci_low"] < row["auroc"] < row["ci_high"]


def test_sister_views_agree_with_the_auc_row_they_belong_to(database: Database, run_id: int) -> None:
    evaluation_id = close_run(database, run_id)
    (row,) = rows_of(
        database,
        """
        SELECT a.sensitivity, t.sensitivity AS at_card, a.threshold, t.threshold AS card, a.brier,
               t.tp + t.fn AS positive, a.n_positive, m.mean_auroc, m.findings,
               m.ci_low, m.ci_high, m.left_out
        FROM auc a
        JOIN thresholds t ON t.evaluation_id = a.evaluation_id AND t.finding = a.finding
             AND t.subgroup = a.subgroup AND t.kind = 'card'
        JOIN auc_mean m ON m.evaluation_id = a.evaluation_id AND m.subgroup = a.subgroup
        WHERE a.evaluation_id = :e AND a.finding = 'Effusion' AND a.subgroup = 'all'
        """,
        e=evaluation_id,
    )
    assert (row["at_card"], row["card"], row["positive"]) == (row["sensitivity"], 0.5, row["n_positive"])
    aurocs = rows_of(database, "SELECT auroc FROM auc WHERE subgroup = 'all' AND auroc IS NOT NULL")
    assert (row["findings"], row["mean_auroc"]) == (
        4,
        pytest.approx(np.mean([row["auroc"] for row in aurocs])),
    )
    assert row["ci_low"] < row["mean_auroc"] < row["ci_high"]
    assert row["left_out"] == "|".join(FINDINGS[4:])
    bins = rows_of(database, "SELECT * FROM calibration WHERE finding = 'Effusion' ORDER BY bin")
    assert [bin_["bin"] for bin_ in bins] == list(range(len(bins)))
    assert sum(bin_["images"] for bin_ in bins) == IMAGES
    assert all(bin_["share_low"] <= bin_["share_positive"] <= bin_["share_high"] for bin_ in bins)
    curve = rows_of(
        database, "SELECT x, y FROM curves WHERE finding = 'Effusion' AND curve = 'roc' ORDER BY point"
    )
    area = np.trapezoid([point["y"] for point in curve], [point["x"] for point in curve])
    (auroc,) = rows_of(database, "SELECT auroc FROM auc WHERE finding = 'Effusion' AND subgroup = 'all'")
    assert area == pytest.approx(auroc["auroc"], abs=1e-3)


def test_a_finding_without_positive_images_has_null_and_a_reason(database: Database, run_id: int) -> None:
    close_run(database, run_id)
    (row,) = rows_of(database, "SELECT * FROM auc WHERE finding = 'Hernia' AND subgroup = 'all'")
    assert (row["auroc"], row["ci_low"], row["platt_slope"]) == (None, None, None)
    assert row["reason"] == "no positive image"
    assert row["brier"] is not None


def test_other_labels_are_another_evaluation_and_touch_no_score(
    database: Database, run_id: int, tmp_path: Path
) -> None:
    first = close_run(database, run_id)
    before = rows_of(database, "SELECT image_index, finding, probability, label FROM scores ORDER BY 1, 2")
    corrected = open_labels(write_labels(tmp_path / "new.csv", range(50, 250), shift=1))
    for _ in range(2):
        with database.write() as connection:
            labels = store_labels(connection, run_id, corrected)
            asked = EvaluationRequest(labels, "radiologists", bootstrap=50, wanted_sensitivity=0.9)
            second = ask(connection, run_id, asked)
        evaluated(database, second)
    assert (
        rows_of(database, "SELECT image_index, finding, probability, label FROM scores ORDER BY 1, 2")
        == before
    )
    sets = rows_of(database, "SELECT * FROM evaluations ORDER BY evaluation_id")
    assert [row["label_set"] for row in sets] == ["manifest", "radiologists", "radiologists"]
    assert sets[1]["labels_sha256"] == sets[2]["labels_sha256"] == corrected.fingerprint()
    assert sets[0]["labels_sha256"] != sets[1]["labels_sha256"]
    query = "SELECT * FROM auc WHERE evaluation_id = :e AND finding = 'Effusion' AND subgroup = 'all'"
    (old,), (new,) = (rows_of(database, query, e=evaluation) for evaluation in (first, second))
    assert (old["n_positive"] + old["n_negative"], new["n_positive"] + new["n_negative"]) == (IMAGES, 200)
    assert old["auroc"] != new["auroc"]
    assert old["bootstrap_low"] is None
    assert new["bootstrap_low"] < new["auroc"] < new["bootstrap_high"]
    wanted = "SELECT * FROM thresholds WHERE evaluation_id = :e AND kind = 'sensitivity' AND subgroup = 'all'"
    reached = [row for row in rows_of(database, wanted, e=second) if row["finding"] == "Effusion"]
    assert reached[0]["sensitivity"] >= 0.9


def test_corrections_without_patients_take_them_from_the_manifest(
    database: Database, run_id: int, tmp_path: Path
) -> None:
    path = tmp_path / "flags.csv"
    lines = [f"{number:08d}.png,{number % 2}" for number in range(100)]
    path.write_text("\n".join(["Image,Effusion", *lines]) + "\n", encoding="utf-8")
    with database.write() as connection:
        labels = store_labels(connection, run_id, open_labels(path))
    with database.read() as connection:
        scores = read_scores(connection, run_id, labels)
    assert scores.images.size == 100
    assert set(scores.facts["sex"]) == {"F", "M"}
    assert set(np.unique(scores.labels[:, FINDINGS.index("Effusion")])) == {0, 1}
    assert np.all(scores.labels[:, FINDINGS.index("Mass")] == -1)


def test_each_policy_for_uncertain_labels_gives_scikit_learns_figure_and_is_kept(
    database: Database, run_id: int, tmp_path: Path
) -> None:
    written = np.random.default_rng(7).choice([1.0, 0.0, -1.0], IMAGES, p=[0.3, 0.5, 0.2])
    path = tmp_path / "chexpert.csv"
    lines = [f"{number:08d}.png,{label}" for number, label in enumerate(written)]
    path.write_text("\n".join(["Path,Pleural Effusion", *lines]) + "\n", encoding="utf-8")
    query = "SELECT probability FROM scores WHERE finding = 'Effusion' ORDER BY image_index"
    probabilities = np.array([row["probability"] for row in rows_of(database, query)])
    known = written >= 0
    expected = {
        "ignore": roc_auc_score(written[known], probabilities[known]),
        "positive": roc_auc_score(written != 0, probabilities),
        "negative": roc_auc_score(written == 1, probabilities),
    }
    policies: list[Uncertain] = ["ignore", "positive", "negative"]
    for policy in policies:
        with database.write() as connection:
            labels = store_labels(connection, run_id, open_labels(path, ReadOptions(uncertain=policy)))
            evaluation_id = ask(connection, run_id, EvaluationRequest(labels, "chexpert"))
        evaluated(database, evaluation_id)
    found = rows_of(
        database,
        """
        SELECT e.uncertain, a.auroc FROM auc a JOIN evaluations e ON e.evaluation_id = a.evaluation_id
        WHERE a.finding = 'Effusion' AND a.subgroup = 'all' AND a.label_set = 'chexpert'
        """,
    )
    assert {row["uncertain"]: row["auroc"] for row in found} == pytest.approx(expected)


def test_labels_of_other_images_are_refused(database: Database, run_id: int, tmp_path: Path) -> None:
    foreign = open_labels(write_labels(tmp_path / "foreign.csv", range(5_000, 5_010)))
    with (
        pytest.raises(LabelsError, match=r"none of its 10 images is one of run 1"),
        database.write() as connection,
    ):
        store_labels(connection, run_id, foreign)
    assert rows_of(database, "SELECT COUNT(*) AS n FROM manifest") == [{"n": 1}]
    (tmp_path / "bare.csv").write_text("Image\na.png\n", encoding="utf-8")
    with pytest.raises(LabelsError, match=r"no column is a finding"):
        open_labels(tmp_path / "bare.csv")


def test_a_run_of_new_images_is_evaluated_with_the_earlier_ones_of_its_model(
    database: Database, run_id: int, tmp_path: Path
) -> None:
    close_run(database, run_id)
    grown = write_labels(tmp_path / "grown.csv", range(IMAGES + 100))
    whole = submit(database, Settings(home=tmp_path), Order(grown, tmp_path, "stub"))
    with database.write() as connection:
        facts = connection.execute(
            text("SELECT manifest_id, model_id FROM run WHERE id = :r"), {"r": whole}
        ).one()
        connection.execute(text("UPDATE run SET status = 'cancelled' WHERE id = :r"), {"r": whole})
        new = create_run(
            connection,
            manifest_id=facts.manifest_id,
            model_id=facts.model_id,
            heatmaps="none",
            batch_size=64,
            version="0",
            rows=[RowRange(IMAGES + 1, IMAGES + 100)],
            only_new=True,
        )
    score_batches(database, tmp_path / "models")
    close_run(database, new)
    assert rows_of(database, "SELECT COUNT(*) AS n FROM scores WHERE run_id = :r", r=new) == [{"n": 100 * 14}]
    query = "SELECT n_positive + n_negative AS n FROM auc WHERE run_id = :r AND subgroup = 'all'"
    assert {row["n"] for row in rows_of(database, query, r=new)} == {IMAGES + 100}


def test_a_comparison_is_of_the_images_that_both_scored_wherever_they_lie(
    database: Database, run_id: int, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    part = write_labels(tmp_path / "part.csv", range(100, IMAGES + 50))
    other = run_of(database, tmp_path, part, "other", images=elsewhere)
    with database.read() as connection:
        labels = find_label_set(connection, (run_id, other), None)
    found = compare_runs(database, run_id, other, labels)
    assert found.images == IMAGES - 100
    assert len(found.rows) == 14
    (row,) = [row for row in found.rows if row["finding"] == "Effusion"]
    assert row["n_positive"] + row["n_negative"] == IMAGES - 100
    query = (
        "SELECT a.label, a.probability AS a, b.probability AS b FROM scores a JOIN scores b "
        "ON b.image_index = a.image_index AND b.finding = a.finding "
        "WHERE a.run_id = :a AND b.run_id = :b AND a.finding = 'Effusion'"
    )
    frame = pd.DataFrame(rows_of(database, query, a=run_id, b=other))
    assert row["auroc_a"] == pytest.approx(roc_auc_score(frame["label"], frame["a"]))
    assert row["auroc_b"] == pytest.approx(roc_auc_score(frame["label"], frame["b"]))
    assert row["p_holm"] >= row["p"]
    with database.write() as connection:
        written = write_comparison(connection, run_id, other, labels, "manifest", found)
    stored = rows_of(database, "SELECT * FROM comparisons WHERE comparison_id = :c", c=written)
    assert {row["finding"]: row["difference"] for row in stored} == {
        row["finding"]: row["difference"] for row in found.rows
    }
    assert {(row["run_a"], row["run_b"], row["model_b"]) for row in stored} == {(run_id, other, "other")}


def test_a_run_compared_with_itself_differs_in_nothing(database: Database, run_id: int) -> None:
    with database.read() as connection:
        found = compare_runs(database, run_id, run_id, find_label_set(connection, (run_id,), None))
    tested = [row for row in found.rows if row["difference"] is not None]
    assert {(row["difference"], row["p_holm"]) for row in tested} == {(0, 1)}


def test_an_unknown_label_set_is_named_with_those_there_are(database: Database, run_id: int) -> None:
    close_run(database, run_id)
    with database.read() as connection:
        with pytest.raises(UnknownRunError, match=r"'truth'; they used: manifest"):
            find_label_set(connection, (run_id,), "truth")
        with pytest.raises(UnknownRunError, match=r"there is no run 77"):
            find_label_set(connection, (run_id, 77), None)


def test_calibrated_probabilities_are_platts_beside_the_raw_ones(database: Database, run_id: int) -> None:
    evaluation_id = close_run(database, run_id)
    raw = rows_of(database, "SELECT probability FROM scores ORDER BY image_index, finding")
    assert calibrate_run(database, run_id) == (evaluation_id, 4)
    query = """
        SELECT s.finding, s.probability, s.calibrated, a.platt_slope, a.platt_intercept, s.label
        FROM scores s JOIN auc a ON a.finding = s.finding AND a.subgroup = 'all'
        ORDER BY s.image_index, s.finding
        """
    frame = pd.DataFrame(rows_of(database, query))
    assert frame["probability"].tolist() == [row["probability"] for row in raw]
    assert frame.loc[frame["platt_slope"].isna(), "calibrated"].isna().all()
    fitted = frame.dropna()
    logits = np.log(fitted["probability"] / (1 - fitted["probability"]))
    expected = 1 / (1 + np.exp(-(fitted["platt_slope"] * logits + fitted["platt_intercept"])))
    np.testing.assert_allclose(fitted["calibrated"].astype(float), expected, atol=1e-6)
    # What calibration is for: the mean probability is the share of positive images.
    means = fitted.groupby("finding")[["calibrated", "label"]].mean()
    np.testing.assert_allclose(means["calibrated"], means["label"], atol=0.01)
    assert rows_of(database, "SELECT calibrated_by FROM progress") == [{"calibrated_by": evaluation_id}]


def test_another_models_fit_is_refused(database: Database, run_id: int, tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match="no evaluation yet"):
        calibrate_run(database, run_id)
    other = run_of(database, tmp_path, tmp_path / "manifest.csv", "other")
    foreign = close_run(database, other)
    with pytest.raises(CalibrationError, match=f"evaluation {foreign} is of another model than run {run_id}"):
        calibrate_run(database, run_id, foreign)
    with pytest.raises(CalibrationError, match="no finished evaluation 99"):
        calibrate_run(database, run_id, 99)


def test_an_evaluation_that_another_worker_has_is_left_alone(database: Database, run_id: int) -> None:
    (due,) = recovery.close_finished(database, run_id)
    assert evaluations.claim_evaluation(database, due, LEASE) is not None
    assert evaluate(database, due, LEASE, lambda action: action()) is None
    assert rows_of(database, "SELECT COUNT(*) AS n FROM auc") == [{"n": 0}]


# --- arrays that no archive should have --------------------------------------------------------------------


def arrays(p: NDArray[Any], labels: NDArray[Any], patients: list[str | None]) -> LabelledScores:
    count = len(p)
    facts = pd.DataFrame(
        {
            "patient_id": pd.Series(patients, dtype=object),
            "sex": pd.Series([None] * count, dtype=object),
            "age_years": np.full(count, np.nan),
            "view_position": pd.Series([None] * count, dtype=object),
        }
    )
    return LabelledScores(
        (ScoredFinding(1, "Mass", 0.5, 0),),
        np.arange(count),
        facts,
        np.asarray(p, dtype=np.float32)[:, None],
        np.asarray(labels, dtype=np.int8)[:, None],
    )


@pytest.mark.parametrize(
    ("p", "labels", "patients", "defined", "words"),
    [
        ([0.1, 0.9], [-1, -1], ["a", "b"], set(), "no labelled image"),
        ([0.1, 0.9], [1, 1], ["a", "b"], set(), "no negative image"),
        ([0.5] * 6, [0, 1] * 3, list("abcdef"), {"auroc", "ci_low"}, "too few cases to resample patients"),
        ([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], ["a"] * 4, {"auroc"}, "the positive images are of one patient"),
        ([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], list("aabc"), {"auroc"}, "the negative images are of one"),
        ([0.1, 0.2, 0.9], [0, 0, 1], ["a", "b", None], {"auroc"}, "a class has a single image: no interval"),
        ([np.nan, np.nan], [0, 1], ["a", "b"], set(), "no labelled image"),
        ([], [], [], set(), "no labelled image"),
    ],
    ids=[
        "no labels",
        "one class",
        "ties everywhere",
        "one patient",
        "one patient's negatives",
        "single positive",
        "no score",
        "no image",
    ],
)
def test_degenerate_images_give_null_and_a_reason(
    p: list[float], labels: list[int], patients: list[str | None], defined: set[str], words: str
) -> None:
    scores = arrays(np.array(p), np.array(labels), patients)
    (row,) = figures_of(scores, resamples=200).results
    assert {name for name in ("auroc", "ci_low", "bootstrap_low") if row[name] is not None} == defined
    assert words in row["reason"]


def test_a_column_of_free_text_as_the_view_has_groups_for_its_commonest_words_alone() -> None:
    views = ["PA"] * 3 + ["AP"] * 2 + [f"{number:04d}" for number in range(1_000)]
    facts = pd.DataFrame({"sex": None, "age_years": np.nan, "view_position": views})
    found = [name for name, _ in subgroups(facts)]
    assert found == ["all", *(f"view={number:04d}" for number in range(MOST_VIEWS - 2)), "view=AP", "view=PA"]


def test_an_image_without_a_fact_is_in_none_of_its_subgroups() -> None:
    facts = pd.DataFrame(
        {"sex": ["F", None, "M"], "age_years": [np.nan, 30.0, 80.0], "view_position": [None, None, None]}
    )
    found = {name: members for name, members in subgroups(facts) if name != "all"}
    assert {name: list(members) for name, members in found.items()} == {  # type: ignore[arg-type]
        "sex=F": [0],
        "sex=M": [2],
        "age=18-39": [1],
        "age=80+": [2],
    }
