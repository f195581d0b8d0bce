"""What a report says, on both databases, of rows as a run and its evaluations leave them."""

import base64
import html
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy import Table, insert, select, text, update
from support import STUB_CARD, finding_ids, make_run, score_batches, write_card, write_manifest
from typer.testing import CliRunner

from config.failures import Reason, Stage
from config.films import Greyscale
from config.findings import FINDINGS
from config.settings import Settings
from db import queries, schema
from db.database import Database
from db.drift import DriftCheck, write_drift
from db.errors import UnknownRunError
from db.outcomes import Failed, Outcome
from db.schema.runs import model, score
from db.scores import read_scores
from jobs.commands import session
from jobs.report.page import page_content, render, write_report
from jobs.report.sections.curves import histograms
from jobs.report.sections.films import _MEANING
from jobs.report.sections.summary import first_images
from jobs.report.templates import SCRIPT, SCRIPT_HASH
from jobs.report.words import finding_in_words, subgroup_in_words
from jobs.submit import Order, submit
from jobs.worklist import read_worklist
from workers.commands import report as report_cli
from workers.commands.main import app

IMAGES = 30
PLAIN = str.maketrans("\N{EN DASH}\N{MINUS SIGN}\N{RIGHT SINGLE QUOTATION MARK}", "--'")
NOT_COMPARED = {"n": 28, "n_baseline": 28, "reason": "other model"}
THRESHOLD_KINDS = ("card", "0.5", "youden", "sensitivity")


def add(database: Database, table: Table, *rows: dict[str, Any]) -> int:
    """Insert rows; gives the last one's id, where the table has one."""
    with database.write() as connection:
        made = 0
        for row in rows:
            found = connection.execute(insert(table).values(row)).inserted_primary_key
            made = found[0] if found is not None else 0
        return made


def score_all(database: Database, folder: Path, run_id: int, fail_every: int = 0) -> None:
    """Score a run by the stub, failing every `fail_every`-th image."""

    def change(outcome: Outcome) -> Outcome:
        if fail_every and outcome.image_id % fail_every == 0:
            return Failed(outcome.image_id, Stage.READ, Reason.TRUNCATED, "ends early")
        return outcome

    score_batches(database, folder / "models", run_id, change)


def run_row(database: Database, run_id: int) -> Any:
    with database.read() as connection:
        return connection.execute(select(schema.runs.run).where(schema.runs.run.c.id == run_id)).one()


def evaluate(
    database: Database, run_id: int, *, minute: int = 0, auroc: float = 0.9, **values: Any
) -> tuple[int, dict[str, int]]:
    """Write a finished evaluation: curves and all for the first finding, less for the others."""
    ids = finding_ids(database, run_id)
    evaluation = add(
        database,
        schema.evaluations.evaluation,
        {
            "run_id": run_id,
            "label_manifest_id": run_row(database, run_id).manifest_id,
            "label_set": "manifest",
            "closes_run": False,
            "state": "done",
            "evaluated_at": datetime(2026, 3, 1, 4, minute, tzinfo=UTC),
            "wanted_sensitivity": 0.9,
            **values,
        },
    )
    whole = {
        "n_positive": 12,
        "n_negative": 18,
        "auroc": auroc,
        "ci_low": auroc - 0.1,
        "ci_high": auroc + 0.05,
    }
    precision = {"average_precision": 0.81, "average_precision_low": 0.66, "average_precision_high": 0.9}
    more = precision | {"threshold": 0.5, "brier": 0.123, "calibration_error": 0.045}
    rest = {"n_positive": 0, "n_negative": 30, "reason": "no positive image"}
    findings = queries.model_card(database, run_id)["findings"]
    mean = {"mean_auroc": auroc, "ci_low": auroc - 0.04, "ci_high": auroc + 0.03}
    left_out = {"findings": 3, "left_out": "|".join(findings[3:])}
    add(
        database,
        schema.evaluations.mean_result,
        {"evaluation_id": evaluation, "subgroup": "all", **mean, **left_out},
    )
    for place, finding in enumerate(findings):
        id_ = ids[finding]
        figures = whole | more if place < 3 else rest
        for subgroup in ("all", "sex=F", "sex=M", "view=AP"):
            # The last subgroup is too small for the second finding.
            alone = place == 1 and subgroup == "view=AP"
            shown = rest if alone else figures
            add(
                database,
                schema.evaluations.evaluation_result,
                {"evaluation_id": evaluation, "subgroup": subgroup, "finding_id": id_, **shown},
            )
        if place < 3:
            write_curves(database, evaluation, id_)
        for kind in THRESHOLD_KINDS:
            add(
                database,
                schema.evaluations.threshold_result,
                threshold_row(evaluation, id_, kind, positive=place < 3),
            )
    return evaluation, ids


def write_curves(database: Database, evaluation: int, finding_id: int) -> None:
    of = {"evaluation_id": evaluation, "finding_id": finding_id}
    steps = np.linspace(0, 1, 30)
    add(
        database,
        schema.evaluations.curve_point,
        *(
            {**of, "curve": curve, "point": point, "x": float(x), "y": float(y), "threshold": 1 - float(x)}
            for curve, values in (("roc", steps**0.3), ("precision_recall", 1 - 0.6 * steps**2))
            for point, (x, y) in enumerate(zip(steps, values, strict=True))
        ),
    )
    add(
        database,
        schema.evaluations.calibration_bin,
        *(
            {
                **of,
                "bin": number,
                "lower": number / 20,
                "upper": (number + 1) / 20,
                "images": 3 if number % 2 else 0,
                "mean_probability": (number + 0.5) / 20 if number % 2 else None,
                "share_positive": number / 20 if number % 2 else None,
                "share_low": number / 40 if number % 2 else None,
                "share_high": number / 40 + 0.5 if number % 2 else None,
            }
            for number in range(20)
        ),
    )


def threshold_row(evaluation: int, finding_id: int, kind: str, *, positive: bool) -> dict[str, Any]:
    of = {"evaluation_id": evaluation, "subgroup": "all", "finding_id": finding_id, "kind": kind}
    shares = {"specificity": 0.778, "specificity_low": 0.548, "specificity_high": 0.91}
    if not positive:
        if kind in {"youden", "sensitivity"}:
            return of | {"reason": "no positive image"}
        counts = {"tp": 0, "fp": 4, "tn": 26, "fn": 0}
        return of | counts | shares | {"threshold": 0.5, "reason": "no positive image"}
    for share in ("sensitivity", "ppv", "npv"):
        shares |= {share: 0.75, f"{share}_low": 0.468, f"{share}_high": 0.911}
    return of | shares | {"threshold": 0.5, "tp": 9, "fp": 4, "tn": 14, "fn": 3, "f1": 0.72, "accuracy": 0.77}


def draw_overlays(database: Database, folder: Path, run_id: int) -> list[str]:
    """Give the first finding four overlays, the second of them without its file; their paths."""
    rng = np.random.default_rng(0)
    finding_id = finding_ids(database, run_id)[FINDINGS[0]]
    paths = []
    with database.write() as connection:
        score = schema.runs.score
        highest = connection.execute(
            select(score.c.image_id)
            .where(score.c.run_id == run_id, score.c.finding_id == finding_id)
            .order_by(score.c.probability.desc())
            .limit(4)
        ).scalars()
        for place, image_id in enumerate(highest.all()):
            path = f"run-{run_id:06d}/{FINDINGS[0]}/{image_id}.jpg"
            connection.execute(
                update(score)
                .where(
                    score.c.run_id == run_id,
                    score.c.finding_id == finding_id,
                    score.c.image_id == image_id,
                )
                .values(overlay_path=path)
            )
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            if place != 1:
                pixels = rng.integers(0, 255, (512, 430, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / path)
            paths.append(path)
    return paths


def complete(database: Database, run_id: int) -> None:
    with database.write() as connection:
        connection.execute(
            update(schema.runs.run)
            .where(schema.runs.run.c.id == run_id)
            .values(status="complete", finished_at=datetime.now(UTC) + timedelta(seconds=75))
        )


def full_run(database: Database, folder: Path) -> int:
    """A complete run with an evaluation, curves, overlays and a failure."""
    run_id = make_run(database, folder, IMAGES)
    score_all(database, folder, run_id, fail_every=13)
    complete(database, run_id)
    evaluate(database, run_id)
    draw_overlays(database, Settings(home=folder).overlays, run_id)
    return run_id


class Pictures:
    """The pictures of the archive, of which one cannot be read, and another has no map."""

    def radiograph(self, image_index: str) -> NDArray[np.uint8] | None:
        return None if image_index == "00000003_000.png" else np.full((512, 430), 90, dtype=np.uint8)

    def overlay(self, image_index: str, finding: str, longest_side: int) -> NDArray[np.uint8] | None:
        assert finding in FINDINGS
        if image_index in {"00000003_000.png", "00000027_000.png"}:
            return None
        return np.full((longest_side, longest_side * 430 // 512, 3), 90, dtype=np.uint8)


class NoPictures:
    """Of an archive that is not there any more."""

    def radiograph(self, image_index: str) -> None:
        assert image_index

    def overlay(self, image_index: str, finding: str, longest_side: int) -> None:
        raise AssertionError((image_index, finding, longest_side))


def report(database: Database, folder: Path, run_id: int) -> str:
    path = folder / "run.html"
    size = write_report(database, Settings(home=folder), run_id, path, Pictures())
    assert path.stat().st_size == size < 5_000_000
    return path.read_text(encoding="utf-8")


def section(page: str, id_: str) -> str:
    found = re.search(rf'<section id="{id_}">.*?</section>', page, re.DOTALL)
    assert found, f"there is no section {id_}"
    return found[0]


def words(part: str) -> str:
    """The text that a part of the page shows, on one line and with a keyboard's dashes and quotes."""
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", part))).translate(PLAIN)


def column_heads(part: str) -> list[str]:
    return [words(head) for head in re.findall(r'<th scope="col"[^>]*>(.*?)</th>', part)]


def table_row(part: str, head: str) -> list[str]:
    """The cells of the row that begins with `head`."""
    rows = re.findall(r"<tr>(.*?)</tr>", part, re.DOTALL)
    (found,) = [row for row in rows if f">{head}</th>" in row]
    return [words(cell).strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", found, re.DOTALL)]


# --- the first screen --------------------------------------------------------------------------------------


def test_the_first_screen_has_counts_mean_best_and_worst_and_alerts(
    database: Database, tmp_path: Path
) -> None:
    run_id = full_run(database, tmp_path)
    evaluation, ids = evaluate(database, run_id, minute=5)
    with database.write() as connection:
        results = schema.evaluations.evaluation_result
        connection.execute(
            update(results)
            .where(results.c.evaluation_id == evaluation, results.c.finding_id == ids["Effusion"])
            .values(auroc=0.61, ci_low=0.5, ci_high=0.7)
        )
    told = words(section(report(database, tmp_path, run_id), "summary"))
    assert "28 of 30 scored 2 failed" in told
    assert "Mean AUROC 0.900 0.860-0.930 over 3 findings" in told
    assert "Best finding Atelectasis 0.900 0.800-0.950 , 12 positive" in told
    assert "Worst finding Effusion 0.610 0.500-0.700 , 12 positive" in told
    assert "Alerts none" in told
    assert "Not in the mean, for fewer than ten patients of a class: Infiltration, Mass," in told


def test_all_findings_stand_in_one_plot_that_is_also_a_file(database: Database, tmp_path: Path) -> None:
    page = report(database, tmp_path, full_run(database, tmp_path))
    part = section(page, "summary")
    assert 'aria-label="AUROC of each finding with its 95% interval: Atelectasis 0.900 (0.800' in part
    (file,) = re.findall(r'download="run-1-auroc.svg" href="data:image/svg\+xml;base64,([^"]+)"', part)
    drawn = base64.b64decode(file).decode()
    for shown in ("Atelectasis", "Effusion", "Mean of 3", "AUROC (95% interval)"):
        assert f">{shown}</text>" in drawn
    assert "var(--" not in drawn
    # On the page's dark ground a white mark would be a full one.
    assert "#ffffff" in drawn
    assert "#ffffff" not in page


def errors_of(database: Database, run_id: int) -> list[tuple[str, str, str, float]]:
    """The two worst of each finding and kind by SQL, the worst first: image, finding, kind and distance."""
    query = """
        SELECT image_index, finding, kind, distance
        FROM (SELECT w.*, ROW_NUMBER() OVER (PARTITION BY finding, kind ORDER BY distance DESC, image_index)
                     AS place
              FROM (SELECT image_index, finding,
                           CASE WHEN label = 1 THEN 'missed' ELSE 'false alarm' END AS kind,
                           CASE WHEN label = 1 THEN threshold - probability ELSE probability - threshold END
                             AS distance
                    FROM scores WHERE run_id = :run_id AND label IS NOT NULL) w
              WHERE distance > 0 OR (distance = 0 AND kind = 'false alarm')) ranked
        WHERE place <= 2
        ORDER BY distance DESC
    """
    with database.read() as connection:
        found = connection.execute(text(query), {"run_id": run_id}).all()
    return [(row.image_index, finding_in_words(row.finding), row.kind, row.distance) for row in found]


def test_worst_errors_are_of_the_labels_that_the_model_contradicts_most(
    database: Database, tmp_path: Path
) -> None:
    run_id = full_run(database, tmp_path)
    part = section(report(database, tmp_path, run_id), "errors")
    expected = errors_of(database, run_id)
    assert len({kind for _, _, kind, _ in expected}) == 2
    rows = [
        [words(cell).strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
        for row in re.findall(r"<tr>(<th scope=\"row\">.*?)</tr>", part)
    ]
    assert [float(row[5]) for row in rows] == pytest.approx([row[3] for row in expected], abs=6e-4)
    assert {tuple(row[:3]) for row in rows} == {row[:3] for row in expected}
    # Unfolded are the worst missed and the worst false alarm of four findings each.
    unfolded, folded = part.split("<details>")
    assert unfolded.count("<figcaption>") == 8
    assert part.count("<figcaption>") == len(expected)
    for kind, label in (("missed", "present"), ("false alarm", "absent")):
        image_index, finding, _, _ = next(row for row in expected if row[2] == kind)
        assert f"<b>{finding}</b>, {image_index}<br>" in unfolded
        assert unfolded.count(f"labelled {label}</figcaption>") == 4
    assert "No picture: it cannot be read" in words(part)
    assert "No heatmap is stored." in words(part)
    assert folded.count('class="map"') < folded.count('class="bare"')


def test_an_ensembles_report_names_its_members_and_says_how_far_they_are_apart(
    database: Database, tmp_path: Path
) -> None:
    run_id = full_run(database, tmp_path)
    assert "Spread" not in report(database, tmp_path, run_id)
    card = queries.model_card(database, run_id) | {
        "members": [{"name": name, "sha256": name * 64, "card_sha256": "0" * 64} for name in "ab"]
    }
    with database.write() as connection:
        connection.execute(update(model).values(card=json.dumps(card)))
        connection.execute(update(score).values(spread=score.c.probability / 8))
    page = report(database, tmp_path, run_id)
    for id_ in ("errors", "worklist"):
        part = section(page, id_)
        heads = column_heads(part)
        assert heads[-1] == "Spread"
        probability = heads.index("Probability")
        rows = [
            [words(cell).strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
            for row in re.findall(r"<tr>(<th scope=\"row\">.*?)</tr>", part)
        ]
        assert rows
        for row in rows:
            assert float(row[-1]) == pytest.approx(float(row[probability]) / 8, abs=6e-4)
    listed = words(section(page, "run"))
    assert f"Members a, SHA-256 {'a' * 64}" in listed
    assert f"b, SHA-256 {'b' * 64}" in listed


def test_without_a_picture_the_errors_are_a_table_only(database: Database, tmp_path: Path) -> None:
    run_id = full_run(database, tmp_path)
    content = page_content(database, tmp_path, run_id, NoPictures())
    part = section(render(content), "errors")
    assert "<figcaption>" not in part
    assert part.count('<tr><th scope="row">') == len(errors_of(database, run_id))


def test_the_first_of_the_worklist_are_named(database: Database, tmp_path: Path) -> None:
    run_id = full_run(database, tmp_path)
    part = section(report(database, tmp_path, run_id), "worklist")
    rows, _ = read_worklist(database, run_id, 10)
    assert re.findall(r'<th scope="row">(.*?)</th>', part) == [row["image_index"] for row in rows]


@pytest.mark.parametrize("images", [1, 10, 100])
def test_the_worklists_first_are_those_of_the_view_also_where_scores_tie(
    database: Database, tmp_path: Path, images: int
) -> None:
    run_id = full_run(database, tmp_path)
    with database.write() as connection:
        connection.execute(update(score).where(score.c.image_id % 3 == 0).values(probability=0.875))
    rows, _ = read_worklist(database, run_id, images)
    with database.read_only() as connection:
        first = first_images(connection, run_id, images)
    for found, row in zip(first, rows, strict=True):
        assert found.pop("percentile") == pytest.approx(row["percentile"], rel=1e-12)
        assert found == {column: row[column] for column in found}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("all", "All images"),
        ("sex=F", "Women"),
        ("age=0-17", "0\N{EN DASH}17 years"),
        ("age=80+", "80 years and older"),
        ("view=LL", "View LL"),
        ("shift=night", "shift=night"),
    ],
)
def test_subgroups_are_named_in_words(name: str, shown: str) -> None:
    assert subgroup_in_words(name) == shown


# --- the figures -------------------------------------------------------------------------------------------


def test_report_states_run_model_and_that_every_image_is_accounted_for(
    database: Database, tmp_path: Path
) -> None:
    run_id = full_run(database, tmp_path)
    page = report(database, tmp_path, run_id)
    told = words(section(page, "run"))
    with database.read() as connection:
        fingerprint = connection.execute(select(schema.archives.manifest.c.fingerprint)).scalar_one()
    for fact in (f"Run {run_id}, complete", fingerprint, "0" * 64, "manifest-30.csv", "Trained no", "UTC"):
        assert fact in told
    assert "30 images = 28 scored + 2 failed + 0 pending. The manifest has 30 rows." in told
    assert "Each image has exactly one outcome." in told
    assert "Not for clinical use." in words(page)
    assert "The model is untrained" in words(page)
    assert table_row(section(page, "failures"), "read") == ["read", "truncated", "2", "00000012_000.png"]


def test_images_whose_bytes_have_changed_are_counted_at_the_top_and_at_the_end(
    database: Database, tmp_path: Path
) -> None:
    first = full_run(database, tmp_path)
    page = words(report(database, tmp_path, first))
    assert "It is not known which bytes were read." in page
    assert "have changed since they were read before" not in page

    def read(run_id: int, tags: dict[int, str]) -> None:
        result = schema.runs.image_result
        with database.write() as connection:
            for image_id, tag in tags.items():
                of = (result.c.run_id == run_id, result.c.image_id == image_id)
                connection.execute(update(result).where(*of).values(tag=tag))

    read(first, {1: "a", 2: "a", 3: "a"})
    assert "All 3 images were read for the first time." in words(report(database, tmp_path, first))
    second = make_run(database, tmp_path, IMAGES)
    score_all(database, tmp_path, second)
    read(second, {1: "a", 2: "b", 3: "b", 4: "a"})
    page = words(report(database, tmp_path, second))
    assert "2 of 4 images have changed since they were read before." in page
    assert "2 of 3 images that had been read before have changed" in page
    assert "1 were read for the first time." in page


def test_what_made_greys_of_dicom_films_is_counted(database: Database, tmp_path: Path) -> None:
    run_id = full_run(database, tmp_path)
    assert 'id="films"' not in report(database, tmp_path, run_id)
    result = schema.runs.image_result
    with database.write() as connection:
        scored = select(result.c.image_id).where(result.c.run_id == run_id, result.c.status == "scored")
        images = connection.execute(scored.order_by(result.c.image_id)).scalars().all()
        for place, image_id in enumerate(images[:24]):
            greyscale = [None, "no_window", "bad_window", "window", "window", "window"][place % 6]
            connection.execute(
                update(result)
                .where(result.c.run_id == run_id, result.c.image_id == image_id)
                .values(greyscale=greyscale, padded=place % 6 == 1 and place > 6)
            )
    part = section(report(database, tmp_path, run_id), "films")
    assert "the stored values of 24 films" in words(part)
    assert table_row(part, "by their window") == ["by their window", "12", "0"]
    assert table_row(part, "no window: by their smallest and largest value")[1:] == ["4", "3"]
    assert table_row(part, "in colour, as stored")[1:] == ["4", "0"]
    assert part.count("<tr>") == 5


def test_every_greyscale_has_its_words_in_the_report() -> None:
    assert set(_MEANING) == {None, *Greyscale}


def test_auroc_stands_beside_the_published_ones_and_an_undefined_one_says_why(
    database: Database, tmp_path: Path
) -> None:
    part = section(report(database, tmp_path, full_run(database, tmp_path)), "auroc")
    heads = column_heads(part)
    cells = dict(zip(heads, table_row(part, "Atelectasis"), strict=True))
    assert (cells["n+"], cells["n-"], cells["AUROC"], cells["95% interval"]) == (
        "12",
        "18",
        "0.900",
        "0.800-0.950",
    )
    assert (cells["Average precision"], cells["CheXNet 2017"]) == ("0.810 0.660-0.900", "0.809")
    assert cells["CheXNeXt 2018"] == "0.862 0.825-0.895"
    assert table_row(part, "Hernia")[3] == "undefined: no positive image"
    mean = table_row(part, "Mean of 3")
    assert mean[3:5] == ["0.900", "0.860-0.930"]
    assert "without Pneumonia" not in words(part)
    assert mean[heads.index("Wang 2017")] == f"{(0.716 + 0.807 + 0.784) / 3:.3f}"
    assert "are of other test sets" in words(part)
    assert "PLoS Medicine 15(11) e1002686" in words(part)


def test_of_several_evaluations_the_newest_finished_one_is_told(database: Database, tmp_path: Path) -> None:
    run_id = full_run(database, tmp_path)
    evaluate(database, run_id, minute=30, auroc=0.7, bootstrap=1000)
    evaluate(database, run_id, minute=40, auroc=0.1, state="failed", message="the labels are gone")
    part = section(report(database, tmp_path, run_id), "auroc")
    assert "2026-03-01 04:30:00 UTC" in part
    assert "0.700" in table_row(part, "Atelectasis")
    assert "1,000 resamples of patients" in words(part)
    assert "The newest evaluation is failed. the labels are gone." in words(part)


def test_all_four_thresholds_stand_with_wilsons_intervals(database: Database, tmp_path: Path) -> None:
    part = section(report(database, tmp_path, full_run(database, tmp_path)), "thresholds")
    first = table_row(part, "Atelectasis")
    assert first[:7] == ["Atelectasis", "model's card", "0.500", "9", "4", "14", "3"]
    assert first[7:9] == ["0.750 0.468-0.911", "0.778 0.548-0.910"]
    assert part.count("wanted sensitivity") == len(FINDINGS)
    assert "no positive image" in words(part)
    assert "flatters" in words(part)


def test_subgroups_stand_in_a_table_and_in_plots(database: Database, tmp_path: Path) -> None:
    part = section(report(database, tmp_path, full_run(database, tmp_path)), "subgroups")
    assert re.findall(r'<th scope="col"[^>]*>(.*?)</th>', part) == [
        "Finding",
        "All images",
        "Women",
        "Men",
        "AP view",
    ]
    assert table_row(part, "Cardiomegaly")[4] == "- 0 / 30"
    assert table_row(part, "Atelectasis")[4] == "0.900 0.800-0.950 12 / 18"
    assert 'aria-label="AUROC of Cardiomegaly by subgroup: All images 0.900 (0.800 to 0.950); Women' in part
    assert "AP view none" in part


def test_findings_without_a_curve_are_named_with_the_reason(database: Database, tmp_path: Path) -> None:
    page = report(database, tmp_path, full_run(database, tmp_path))
    part = section(page, "curves")
    assert part.count("<svg ") == part.count('role="img"') == 9 + len(FINDINGS)  # scores have all
    assert (
        'aria-label="ROC curve of Effusion: AUROC 0.900, 95% interval 0.800 to 0.950; 12 positive and '
        "18 negative images; at the card&#x27;s threshold sensitivity 0.750, specificity 0.778"
    ) in part
    assert "Without a plot (no positive image): Infiltration, Mass," in words(part)


def test_curves_have_bands_where_their_points_have_intervals(database: Database, tmp_path: Path) -> None:
    run_id = full_run(database, tmp_path)
    without = section(report(database, tmp_path, run_id), "curves")
    with database.write() as connection:
        points = schema.evaluations.curve_point
        connection.execute(update(points).values(y_low=points.c.y / 2, y_high=points.c.y))
    bands = section(report(database, tmp_path, run_id), "curves").count("fill-opacity: 0.2")
    assert bands - without.count("fill-opacity: 0.2") == 6


def test_histograms_count_what_the_view_has(database: Database, tmp_path: Path) -> None:
    run_id = full_run(database, tmp_path)
    with database.read() as connection:
        counted = histograms(read_scores(connection, run_id, run_row(database, run_id).manifest_id))
        rows = connection.execute(
            text("SELECT finding, label, probability FROM scores WHERE run_id = :run_id"), {"run_id": run_id}
        ).all()
    for finding in FINDINGS:
        for label in (0, 1):
            of = [row.probability for row in rows if row.finding == finding and row.label == label]
            expected = [sum(low / 20 <= p < (low + 1) / 20 for p in of) for low in range(20)]
            assert counted[finding][label].tolist() == expected
    part = section(report(database, tmp_path, run_id), "curves")
    finding = next(finding for finding in FINDINGS if counted[finding][1].any())
    present = sum(row.label == 1 for row in rows if row.finding == finding)
    shown = finding_in_words(finding)
    assert f'aria-label="Probabilities of {shown}; {present} images labelled present, the median' in part


# --- what came in ------------------------------------------------------------------------------------------


def test_a_model_without_a_gate_has_no_section_on_quality(database: Database, tmp_path: Path) -> None:
    page = report(database, tmp_path, full_run(database, tmp_path))
    assert "Quality unknown the model has no gate" in words(section(page, "summary"))
    assert 'id="quality"' not in page


def test_quality_counts_what_does_not_pass_and_shows_the_farthest(database: Database, tmp_path: Path) -> None:
    run_id = full_run(database, tmp_path)
    with database.write() as connection:
        results = schema.runs.image_result
        scored = results.c.status == "scored"
        connection.execute(update(results).where(scored).values(feature_distance=0.5, picture_distance=0.4))
        for image_id, flag, distance in ((1, "unlike", 1.5), (2, "rotated_90", 3.25), (5, "unlike", 1.25)):
            connection.execute(
                update(results)
                .where(results.c.image_id == image_id)
                .values(flag=flag, feature_distance=distance)
            )
    page = report(database, tmp_path, run_id)
    assert "Quality 3 of 28 flagged" in words(section(page, "summary"))
    part = section(page, "quality")
    assert table_row(part, "unlike") == ["unlike", "2"]
    assert table_row(part, "rotated 90") == ["rotated 90", "1"]
    captions = re.findall(r"<figcaption>(\d.*?)</figcaption>", part)
    assert words(captions[0]) == "00000001_000.png rotated 90, features 3.25, greys 0.40"
    assert len(captions) == part.count('class="alone"') == 3
    assert "features: median 0.50, 3 above 1; greys: median 0.40, 0 above 1" in part


def test_drift_is_the_newest_comparison_and_what_shifted_comes_first(
    database: Database, tmp_path: Path
) -> None:
    before, now = full_run(database, tmp_path), full_run(database, tmp_path)
    ids = finding_ids(database, now)
    assert 'id="drift"' not in report(database, tmp_path, now)
    figures = {"n": 28, "n_baseline": 28, "value": 0.5, "value_baseline": 0.25, "psi": 0.02, "ks": 0.1}
    checks = [
        DriftCheck(
            now,
            before,
            [
                {"measure": measure, "finding_id": finding_id, "reason": None, **figures, **given}
                for measure, finding_id, given in (
                    ("probability", ids["Hernia"], {"psi": 0.9, "p": 0.2, "p_holm": 0.4}),
                    ("brightness", None, {"psi": 0.3, "p": 1e-9, "p_holm": p_holm}),
                    ("sex=F", None, {"ks": None, "p": 0.5, "p_holm": 1.0}),
                    ("contrast", None, dict.fromkeys(figures | {"p": 0, "p_holm": 0}) | NOT_COMPARED),
                )
            ],
        )
        for p_holm in (0.5, 0.0001)
    ]
    with database.write() as connection:
        for check in checks:
            write_drift(connection, check)
    page = report(database, tmp_path, now)
    assert f"Drift 1 of 4 measures shifted since run {before}" in words(section(page, "summary"))
    part = section(page, "drift")
    assert re.findall(r'<tr><th scope="row">(.*?)</th>', part) == [
        "Brightness",
        "Probability: Hernia",
        "Share: Women",
        "Contrast",
    ]
    assert table_row(part, "Brightness") == [
        *("Brightness", "yes", "0.500", "0.250", "0.300", "0.100", "< 0.001", "28", "28")
    ]
    assert table_row(part, "Contrast")[1] == "not compared: other model"
    assert "The largest shifts against the baseline: Brightness 0.300, shifted; Probability: Hernia" in part


def test_localisation_stands_only_where_boxes_were_compared(database: Database, tmp_path: Path) -> None:
    run_id = full_run(database, tmp_path)
    assert 'id="localisation"' not in report(database, tmp_path, run_id)
    boxes = {"fingerprint": "ab", "path": "/archive/boxes.csv", "created_at": datetime.now(UTC)}
    evaluation, ids = evaluate(database, run_id, box_set_id=add(database, schema.archives.box_set, boxes))
    figures = {"images": 8, "hits": 6, "pointing": 0.75, "ci_low": 0.409, "ci_high": 0.929, "mean_iou": 0.31}
    add(
        database,
        schema.evaluations.localisation_result,
        {"evaluation_id": evaluation, "finding_id": ids["Effusion"], **figures},
        {"evaluation_id": evaluation, "finding_id": ids["Mass"], "images": 0, "hits": 0, "reason": "no box"},
    )
    part = section(report(database, tmp_path, run_id), "localisation")
    assert table_row(part, "Effusion") == ["Effusion", "8", "6", "0.750", "0.409-0.929", "0.310"]
    assert table_row(part, "Mass")[3] == "undefined: no box"
    assert "/archive/boxes.csv" in part


# --- the run before ----------------------------------------------------------------------------------------


def test_change_without_a_comparison_is_said_to_be_untested(database: Database, tmp_path: Path) -> None:
    before = full_run(database, tmp_path)
    assert 'id="change"' not in report(database, tmp_path, before)
    now = full_run(database, tmp_path)
    evaluate(database, now, minute=50, auroc=0.65)
    part = section(report(database, tmp_path, now), "change")
    assert table_row(part, "Atelectasis") == ["Atelectasis", "0.650", "0.900", "-0.250"]
    assert table_row(part, "Hernia")[3] == "-"
    assert f"Change since run {before}" in words(part)
    assert "untested" in words(part)
    assert "use the same labels" in words(part)


def test_change_is_the_newest_comparison_with_this_run(database: Database, tmp_path: Path) -> None:
    before, now = full_run(database, tmp_path), full_run(database, tmp_path)
    ids = finding_ids(database, now)
    for difference in (0.5, 0.031):
        comparison = add(
            database,
            schema.evaluations.comparison,
            {
                "run_a": now,
                "run_b": before,
                "label_manifest_id": run_row(database, now).manifest_id,
                "label_set": "manifest",
                "images": 28,
                "compared_at": datetime(2026, 3, 2, tzinfo=UTC),
            },
        )
        counts = {"comparison_id": comparison, "n_positive": 12, "n_negative": 16}
        tested = {"ci_low": -0.01, "ci_high": 0.07, "z": 1.5, "p": 0.0001, "p_holm": 0.21}
        add(
            database,
            schema.evaluations.comparison_result,
            {
                **counts,
                "finding_id": ids["Mass"],
                "auroc_a": 0.931,
                "auroc_b": 0.9,
                "difference": difference,
                **tested,
            },
            {**counts, "finding_id": ids["Hernia"], "reason": "no positive image"},
        )
    part = section(report(database, tmp_path, now), "change")
    assert f"Change since run {before}" in words(part)
    assert f"Run {now} - run {before}" in words(part)
    assert f"Compared with run {now}" in words(section(report(database, tmp_path, before), "change"))
    assert table_row(part, "Mass")[3:] == [
        "0.931",
        "0.900",
        "+0.031",
        "-0.010 to +0.070",
        "< 0.001",
        "0.210",
    ]
    assert table_row(part, "Hernia")[3] == "undefined: no positive image"
    assert "untested" not in words(part)


# --- the gallery -------------------------------------------------------------------------------------------


def test_gallery_shows_the_three_highest_and_says_which_file_is_missing(
    database: Database, tmp_path: Path
) -> None:
    run_id = full_run(database, tmp_path)
    part = section(report(database, tmp_path, run_id), "gallery")
    with database.read() as connection:
        score = schema.runs.score
        probabilities = connection.execute(
            select(score.c.probability).where(score.c.overlay_path.is_not(None)).order_by(score.c.probability)
        ).scalars()
        lowest, third, second, first = probabilities.all()
    assert [float(number) for number in re.findall(r"<br>probability ([\d.]+),", part)] == pytest.approx(
        [first, second, third], abs=6e-4
    )
    assert f"{lowest:.3f}" not in part
    assert part.count(' src="data:image/jpeg;base64,') == 4  # each beside its bare radiograph
    assert part.count('alt="Radiograph ') == 2
    assert "No picture: its file is missing" in words(part)
    alternative = (
        r'alt="Heatmap on \d{8}_000.png: Atelectasis, probability [\d.]+, at or above the threshold of'
    )
    assert len(re.findall(alternative + r" 0.500, labelled (?:present|absent)\"", part)) == 2


def test_a_damaged_overlay_costs_its_picture_and_not_the_page(database: Database, tmp_path: Path) -> None:
    run_id = full_run(database, tmp_path)
    for path in Settings(home=tmp_path).overlays.rglob("*.jpg"):
        path.write_bytes(path.read_bytes()[:1000])
    part = section(report(database, tmp_path, run_id), "gallery")
    assert "<img" not in part
    assert words(part).count("No picture: its file cannot be read") == 2


# --- runs that lack something ------------------------------------------------------------------------------


def test_a_run_that_goes_on_says_so_and_counts_what_is_pending(database: Database, tmp_path: Path) -> None:
    run_id = make_run(database, tmp_path, IMAGES)
    page = report(database, tmp_path, run_id)
    assert "This run is running." in words(page)
    assert "30 images = 0 scored + 0 failed + 30 pending." in words(section(page, "run"))
    assert "No image has been scored yet." in words(section(page, "summary"))
    assert "There is no evaluation yet" in words(section(page, "auroc"))
    assert "This run has no overlays" in words(section(page, "gallery"))
    assert "No image failed." in words(section(page, "failures"))


def test_counts_that_disagree_are_a_warning(database: Database, tmp_path: Path) -> None:
    run_id = full_run(database, tmp_path)
    with database.write() as connection:
        failed = schema.runs.image_result.c.status == "failed"
        connection.execute(schema.runs.image_result.delete().where(failed))
    page = report(database, tmp_path, run_id)
    assert "The counts disagree." in words(section(page, "summary"))
    assert "Each image has exactly one outcome" not in words(page)


def test_a_run_without_labels_says_so_for_its_findings(database: Database, tmp_path: Path) -> None:
    run_id = make_run(database, tmp_path, IMAGES, heatmaps="none")
    score_all(database, tmp_path, run_id)
    complete(database, run_id)
    evaluation = {
        "run_id": run_id,
        "label_manifest_id": run_row(database, run_id).manifest_id,
        "label_set": "manifest",
        "closes_run": True,
        "state": "done",
        "evaluated_at": datetime.now(UTC),
    }
    of = {"evaluation_id": add(database, schema.evaluations.evaluation, evaluation), "subgroup": "all"}
    for id_ in finding_ids(database, run_id).values():
        add(
            database,
            schema.evaluations.evaluation_result,
            {**of, "finding_id": id_, "n_positive": 0, "n_negative": 0},
        )
    page = report(database, tmp_path, run_id)
    assert table_row(section(page, "auroc"), "Mass")[3] == "undefined: no labelled image"
    assert f"Without a plot (no labelled image): {', '.join(map(finding_in_words, FINDINGS))}." in words(
        section(page, "curves")
    )
    assert "it was made without heatmaps" in words(section(page, "gallery"))
    assert 'id="subgroups"' not in page


def test_a_card_with_little_in_it_and_names_with_markup_make_a_sound_page(
    database: Database, tmp_path: Path
) -> None:
    """An imported run's card has little more than this; its findings may be named by anybody."""
    names = ["pH <7.35 & $x$", 'A"><script>alert(1)']
    write_card(tmp_path / "models", STUB_CARD | {"findings": names, "thresholds": [0.5, 0.5]})
    manifest = write_manifest(tmp_path / "manifest.csv", IMAGES)
    run_id = submit(database, Settings(home=tmp_path), Order(manifest, tmp_path, "stub"))
    with database.write() as connection:
        connection.execute(
            update(schema.runs.model).values(card=json.dumps({"name": "theirs", "findings": names}))
        )
    score_all(database, tmp_path, run_id)
    complete(database, run_id)
    evaluate(database, run_id)
    page = report(database, tmp_path, run_id)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert script == SCRIPT
    assert page.count("<script") == 1
    assert f"script-src '{SCRIPT_HASH}'" in page
    assert ">pH &lt;7.35 &amp; $x$</th>" in page
    assert 'aria-label="ROC curve of pH &lt;7.35 &amp; $x$: AUROC' in page
    assert "Provenance none given" in words(page)


# --- the page ----------------------------------------------------------------------------------------------


def test_patients_do_not_appear(database: Database, tmp_path: Path) -> None:
    run_id = full_run(database, tmp_path)
    with database.write() as connection:
        connection.execute(update(schema.archives.manifest_row).values(patient_id="Smith-4711"))
    assert "4711" not in report(database, tmp_path, run_id)


def test_the_same_rows_give_the_same_page_but_for_its_date(database: Database, tmp_path: Path) -> None:
    run_id = full_run(database, tmp_path)
    first, second = (re.sub(r"Written on [\d :-]+", "", report(database, tmp_path, run_id)) for _ in range(2))
    assert first == second


def test_page_asks_nothing_of_the_network_and_its_ids_occur_once(database: Database, tmp_path: Path) -> None:
    page = report(database, tmp_path, full_run(database, tmp_path))
    assert not re.findall(r"https?:(?!//www\.w3\.org/)", page)
    assert "default-src 'none'" in page
    ids = re.findall(r'\sid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    for target in re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)|aria-labelledby="([^"]+)"', page):
        assert "".join(target) in ids


# --- the command -------------------------------------------------------------------------------------------


@pytest.fixture
def command(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The command on the test's own database, which is closed at its end."""
    for module in (report_cli, session):  # the run's number is looked up before the command begins
        monkeypatch.setattr(module, "existing", lambda: (Settings(home=tmp_path), database))
    return lambda *arguments: CliRunner().invoke(app, ["report", *map(str, arguments)])


def test_command_replaces_an_older_report_whole_and_tells_its_size(
    database: Database, tmp_path: Path, command: Callable[..., Any]
) -> None:
    run_id = full_run(database, tmp_path)
    path = tmp_path / "out" / "run.html"
    path.parent.mkdir()
    path.write_text("an older one")
    done = command(run_id, "-o", path)
    assert done.exit_code == 0
    assert re.search(r"wrote \S+run\.html \(\d\.\d MB\), replacing the file that was there", done.stdout)
    assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert [file.name for file in path.parent.iterdir()] == ["run.html"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_command_has_a_name_for_the_page(
    database: Database, tmp_path: Path, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = full_run(database, tmp_path)
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert re.fullmatch(rf"wrote run-{run_id}\.html \(\d\.\d MB\)\n", command(run_id).stdout)
    assert [file.name for file in folder.iterdir()] == [f"run-{run_id}.html"]


def test_command_says_which_folder_is_not_there(tmp_path: Path, command: Callable[..., Any]) -> None:
    path = tmp_path / "nowhere" / "run.html"
    done = command(1, "-o", path)
    assert done.exit_code == 2
    assert f"there is no folder {path.parent}; make it first" in done.output
    assert command(1, "-o", tmp_path).exit_code == 2


def test_a_run_that_is_not_there_leaves_the_older_report_alone(
    tmp_path: Path, command: Callable[..., Any]
) -> None:
    path = tmp_path / "run.html"
    path.write_text("an older one")
    done = command(99, "-o", path)
    assert isinstance(done.exception, UnknownRunError)
    assert path.read_text() == "an older one"
