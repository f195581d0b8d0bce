"""What the pages say is so: their queries run; settings, commands, files and tests that they name exist."""

import ast
import re
import shutil
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from sqlalchemy import Connection, insert, inspect, text, update
from support import LEASE, ROOT, STUB_CARD, score_batches, write_card

from config.failures import Reason, Stage
from config.films import Film, Greyscale, Spacing
from config.settings import ENVIRONMENT_PREFIX, Settings
from db import evaluations, queries, recovery
from db.boxes import Box, find_or_write_boxes
from db.calibration import calibrate_run
from db.classifications import Classification
from db.comparisons import write_comparison
from db.database import Database
from db.evaluations import EvaluationRequest
from db.outcomes import Failed, Outcome
from db.retries import retry_failed
from db.schema.runs import model_member, run
from db.schema.schedules import alert, schedule, schedule_due
from db.schema.segmentations import segment, segment_summary_result, volume_result
from jobs.submit import Order, submit
from jobs.tables.labels import open_labels, store_labels
from workers.evaluation.comparison import compare_runs
from workers.evaluation.figures import evaluate_run

DOCS = ROOT / "docs"
PAGES = sorted(path for path in (ROOT / "README.md", *DOCS.glob("*.md")) if path.exists())
QUESTIONS = DOCS / "sql.md"
NOT_SETTINGS = {"NIGHTREAD_REAL_DATA"}
"""Variables that the tests and benchmarks read, and Nightread itself does not."""

ABOUT_SEVERAL_RUNS = {"Several runs, models and evaluations", "Schedules and alerts"}

IMAGES = 240


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


# --- the pages' queries ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Query:
    """A statement of a page, the heading that it stands under, and the title of that heading's part."""

    page: Path
    part: str
    heading: str
    statement: str


def queries_of(page: Path) -> list[Query]:
    found = []
    blocks = re.finditer(r"^```sql\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    for block in blocks:
        headings = re.findall(r"^(#+) (.+)$", block.string[: block.start()], re.MULTILINE)
        parts = [title for level, title in headings if level == "##"]
        statements = (statement.strip() for statement in block[1].split(";"))
        found += [
            Query(page, parts[-1] if parts else "", headings[-1][1] if headings else "", statement)
            for statement in statements
            if statement
        ]
    return found


def write_hospital_manifest(path: Path, images: int = IMAGES, shift: int = 0) -> Path:
    """Write an archive with all that real ones have: visits, children, both views, blanks, missing labels."""
    lines = ["Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"]
    for number in range(images):
        patient, visit = divmod(number, 3)
        if patient == 0:
            lines.append(f"{number:08d}.png,,,,,,")
            continue
        label = ("No Finding", "Cardiomegaly|Effusion", "Effusion", "Mass", "")[(number + shift) % 5]
        person = f"{visit},{patient},{5 + patient % 80},{'FM'[patient % 2]}"
        lines.append(f"{number:08d}.png,{label},{person},{('PA', 'AP')[visit % 2]}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def drawn(answer: Classification) -> Classification:
    """As an ensemble's worker leaves it: an overlay per finding over its threshold; half are DICOM files."""
    scores = (
        replace(
            score,
            overlay_path=f"{score.finding}.jpg" if score.probability >= 0.5 else None,
            spread=score.probability * (1 - score.probability),
        )
        for score in answer.scores
    )
    spacing = Spacing(0.143, 0.143, "ImagerPixelSpacing")
    film = Film(Greyscale.WINDOW, padded=False, spacing=spacing) if answer.image_id % 2 else None
    return replace(answer, scores=tuple(scores), film=film)


def drawn_or_damaged(answer: Outcome) -> Outcome:
    """The scores of an image, but for every 29th, whose file is damaged."""
    assert isinstance(answer, Classification)
    if answer.image_id % 29 == 0:
        return Failed(answer.image_id, Stage.READ, Reason.DAMAGED, "a wrong checksum")
    return drawn(answer)


def fill(database: Database, folder: Path) -> None:
    """Fill every view, so that each question has an answer: four runs of two models, and what came of them.

    Of run 1 there are three evaluations and one that failed. Run 2, over the same manifest, is another
    model's. Runs 3 and 4 are a schedule's.
    """
    for card in (STUB_CARD, STUB_CARD | {"name": "other", "sha256": "1" * 64}):
        write_card(folder / "models", card)
    whole = write_hospital_manifest(folder / "manifest.csv")
    part = write_hospital_manifest(folder / "nightly.csv", 60)
    runs = [score_run(database, folder, whole, model) for model in ("stub", "other")]
    runs += [score_run(database, folder, part, "stub") for _ in range(2)]
    assert runs == [1, 2, 3, 4]
    with database.write() as connection:
        for position, name in enumerate(("seed-1", "seed-2")):
            member = {"model_id": 1, "position": position, "name": name}
            connection.execute(insert(model_member).values(sha256="1" * 64, card_sha256="2" * 64, **member))
    evaluate_run_1(database, folder)
    compare_runs_1_and_2(database)
    assert retry_failed(database, 2)
    score_batches(database, folder / "models", 2, drawn_or_damaged)
    (due,) = recovery.close_finished(database, 2)
    carry_out(database, due)
    fill_schedule(database)
    fill_volumes(database)


def score_run(database: Database, folder: Path, manifest: Path, model: str) -> int:
    """Commit a run, score it and close it with its evaluation."""
    run_id = submit(database, Settings(home=folder), Order(manifest, folder, model, batch_size=64))
    score_batches(database, folder / "models", run_id, drawn_or_damaged)
    (due,) = recovery.close_finished(database, run_id)
    carry_out(database, due)
    assert queries.progress(database, run_id).status == "complete"
    return run_id


def carry_out(database: Database, evaluation_id: int) -> None:
    """Do an evaluation that is due."""
    held = evaluations.claim_evaluation(database, evaluation_id, LEASE)
    assert held is not None
    assert evaluations.complete_evaluation(database, held, evaluate_run(database, held))


def evaluate_run_1(database: Database, folder: Path) -> None:
    """Evaluate run 1 by its own labels with all that can be asked for, by others, and once in vain."""
    labels = open_labels(write_hospital_manifest(folder / "labels.csv", shift=1))
    boxes = [
        Box(f"{number:08d}.png", finding, 0, 0, 700, 900)
        for number, finding in ((3, "Mass"), (6, "Mass"), (4, "Effusion"))
    ]
    with database.write() as connection:
        box_set_id = find_or_write_boxes(
            connection, fingerprint="b" * 64, path=str(folder / "boxes.csv"), boxes=boxes
        )
        theirs = store_labels(connection, 1, labels)
        asked = EvaluationRequest(1, "manifest", bootstrap=20, wanted_sensitivity=0.95, box_set_id=box_set_id)
        everything = evaluations.ask(connection, 1, asked)
        others = evaluations.ask(connection, 1, EvaluationRequest(theirs, "radiologists"))
        in_vain = evaluations.ask(connection, 1, EvaluationRequest(theirs, "radiologists"))
    carry_out(database, everything)
    carry_out(database, others)
    assert evaluations.claim_evaluation(database, in_vain, -1.0) is not None
    assert evaluations.expire_evaluations(database, max_attempts=1) == 1
    assert calibrate_run(database, 1, everything) == (everything, 3)


def compare_runs_1_and_2(database: Database) -> None:
    """Compare the two models on the images of their manifest."""
    compared = compare_runs(database, 1, 2, 1)
    with database.write() as connection:
        write_comparison(connection, 1, 2, 1, "manifest", compared)


def fill_schedule(database: Database) -> None:
    """Make runs 3 and 4 a schedule's, of which one night failed and one brought nothing, with its alerts."""
    night = datetime(2026, 3, 1, 2, tzinfo=UTC)
    nights: list[dict[str, Any]] = [
        {"state": "begun", "run_id": 3, "evaluation_id": 3},
        {"state": "nothing_new"},
        {"state": "failed", "message": "nightly.csv: there is no such file. Check the path."},
        {"state": "begun", "run_id": 4, "evaluation_id": 4},
    ]
    alerts: list[dict[str, Any]] = [
        {"kind": "failed", "due_at": night + timedelta(2), "delivered_at": night + timedelta(2)},
        {"kind": "loss", "evaluation_id": 4, "comparison_id": 1},
    ]
    with database.write() as connection:
        for name in ("nightly", "weekly"):
            values = {"name": name, "cron": "0 2 * * *", "timezone": "UTC", "action": "{}", "margin": 0.02}
            connection.execute(insert(schedule).values(created_at=night - timedelta(1), **values))
        connection.execute(update(run).where(run.c.id >= 3).values(schedule_id=1))
        for number, outcome in enumerate(nights):
            due = {
                "schedule_id": 1,
                "due_at": night + timedelta(number),
                "begun_at": night + timedelta(number),
            }
            connection.execute(insert(schedule_due).values(due | outcome))
        for facts in alerts:
            raised = {"schedule_id": 1, "message": "for the test", "raised_at": night}
            connection.execute(insert(alert).values(raised | facts))


def fill_volumes(database: Database) -> None:
    """Give run 1 what runs of volumes have: a case, two of its segments, and their summary."""
    key = {"run_id": 1, "image_id": 1}
    found = {"voxels": 50, "components": 1, "ml": 0.05, "largest_ml": 0.05, "dice": 0.8, "hd95_mm": 2.0}
    with database.write() as connection:
        connection.execute(
            insert(volume_result).values(
                **key,
                **dict.fromkeys(("size_x", "size_y", "size_z"), 64),
                **dict.fromkeys(("spacing_x", "spacing_y", "spacing_z"), 1.0),
                labelled=True,
                mask_path="masks/0.nii.gz",
            )
        )
        for finding_id, kind in ((1, "class"), (2, "region")):
            connection.execute(insert(segment).values(**key, finding_id=finding_id, kind=kind, **found))
            summary = {"evaluation_id": 1, "finding_id": finding_id, "measure": "dice", "mean": 0.8}
            connection.execute(insert(segment_summary_result).values(**summary, cases=1, left_out=0))


@pytest.fixture(scope="module")
def filled(
    sqlite_template: Path,
    copy_of_postgresql: Callable[[], AbstractContextManager[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[list[Database]]:
    """A database of each kind, filled alike."""
    copied = shutil.copy(sqlite_template, tmp_path_factory.mktemp("sqlite") / "nightread.db")
    with copy_of_postgresql() as postgresql_url:
        databases = [Database(f"sqlite:///{copied}"), Database(postgresql_url)]
        for database in databases:
            fill(database, tmp_path_factory.mktemp("home"))
        yield databases
        for database in databases:
            database.dispose()


def answer(connection: Connection, query: Query) -> Sequence[dict[str, Any]]:
    """Ask a page's query of run 1; pages other than sql.md leave the run's number to the reader."""
    asked = query.statement
    if query.page != QUESTIONS:
        asked = re.sub(r"\brun_id = (?:\d+|RUN)\b", "run_id = 1", asked)
    return [dict(row) for row in connection.execute(text(asked)).mappings()]


def test_sql_page_asks_at_least_thirty_questions() -> None:
    asked = queries_of(QUESTIONS)
    assert len(asked) >= 30
    headings = [query.heading for query in asked]
    assert len(set(headings)) == len(headings)
    assert all(heading.endswith("?") for heading in headings)


def test_each_question_is_of_one_run_except_where_its_part_is_about_several() -> None:
    for query in queries_of(QUESTIONS):
        runs = set(re.findall(r"\brun_id = (\d+)", query.statement))
        assert runs == {"1"} or query.part in ABOUT_SEVERAL_RUNS, query.heading


@pytest.mark.processes
def test_every_query_of_the_pages_gives_rows_and_reads_public_views_only(filled: list[Database]) -> None:
    for database in filled:
        views = set(inspect(database.engine).get_view_names())
        with database.read_only() as connection:
            for query in (query for page in PAGES for query in queries_of(page)):
                what = f"{name_of(query.page)}: {query.heading}\n{query.statement}"
                read = set(re.findall(r"\b(?:FROM|JOIN)\s+(\w+)", query.statement))
                assert read, what
                assert read <= views, what
                assert answer(connection, query), what


@pytest.mark.processes
def test_both_databases_give_the_same_answers(filled: list[Database]) -> None:
    answers = []
    for database in filled:
        with database.read_only() as connection:
            answers.append({query.heading: answer(connection, query) for query in queries_of(QUESTIONS)})
    for heading, rows in answers[0].items():
        others = answers[1][heading]
        assert len(rows) == len(others), heading
        for row, other in zip(rows, others, strict=True):
            # PostgreSQL calculates with probabilities in single precision, as it keeps them.
            assert comparable(row) == pytest.approx(comparable(other), abs=1e-6), heading


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what differs from one run to the next: times, rates, paths."""
    return {
        name: value
        for name, value in row.items()
        if not re.search("_at$|_left$|_second$|^manifest$|^labels$|^boxes$", name)
    }


@pytest.mark.processes
def test_a_sensitivity_counted_by_hand_is_the_stored_one(filled: list[Database]) -> None:
    (query,) = [query for query in queries_of(QUESTIONS) if query.heading == "Can I check a figure by hand?"]
    for database in filled:
        with database.read_only() as connection:
            rows = answer(connection, query)
        assert len(rows) == 14
        assert sum(row["stored"] is not None for row in rows) == 3  # findings that the manifest labels
        for row in rows:
            assert row["counted"] == pytest.approx(row["stored"])


def test_sql_page_describes_every_column_of_every_view(database: Database) -> None:
    page = QUESTIONS.read_text(encoding="utf-8")
    found = inspect(database.engine)
    for view in found.get_view_names():
        section = re.search(rf"^### `{view}`.*?(?=^##)", page, re.MULTILINE | re.DOTALL)
        assert section, view
        first_cells = re.findall(r"^\| (`.*?) \|", section[0], re.MULTILINE)
        described = {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}
        assert described == {column["name"] for column in found.get_columns(view)}, view
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"There are {len(found.get_view_names())} views" in readme


# --- settings ----------------------------------------------------------------------------------------------


def variable(field: str) -> str:
    return f"{ENVIRONMENT_PREFIX}{field.upper()}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_variable_that_a_page_names_is_a_setting(page: Path) -> None:
    named = set(re.findall(rf"{ENVIRONMENT_PREFIX}[A-Z][A-Z_]*", page.read_text(encoding="utf-8")))
    assert named <= {variable(field) for field in Settings.model_fields} | NOT_SETTINGS


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_is_documented_with_its_default(field: str) -> None:
    page = (DOCS / "settings.md").read_text(encoding="utf-8")
    rows = re.findall(rf"^\| `{variable(field)}` \| (.+?) \| .+ \| .+ \|$", page, re.MULTILINE)
    assert len(rows) == 1
    default = Settings.model_fields[field].default
    if default is None:
        assert rows[0].startswith("none: ")  # and then what is taken in its place
    else:
        assert rows[0] == f"`{default:g}`" if isinstance(default, float) else rows[0] == f"`{default}`"


# --- commands ----------------------------------------------------------------------------------------------


def code_of(page: Path) -> Iterator[str]:
    """The lines of a page's blocks of code and its spans of code; queries and diagrams left out."""
    content = page.read_text(encoding="utf-8")
    blocks = r"^```(\w*)\n(.*?)^```$"
    for language, block in re.findall(blocks, content, re.MULTILINE | re.DOTALL):
        if language not in {"sql", "mermaid"}:
            yield from block.replace("\\\n", " ").splitlines()
    prose = re.sub(blocks, "", content, flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"`([^`]+)`", prose)


CALL = re.compile(
    r"(?:^|[\s(]|bin/)nightread ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*){0,2})((?:[^|#;&\n]|\"[^\"]*\")*)"
)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_that_a_page_names_exists_with_its_options(page: Path) -> None:
    from workers.commands.main import app

    root = typer.main.get_command(app)
    for code in code_of(page):
        for words, rest in CALL.findall(code):
            command: Any = root
            for word in words.split():
                if not hasattr(command, "commands"):
                    break  # an argument of a command
                if word not in command.commands and any(
                    parameter.param_type_name == "argument" for parameter in command.params
                ):
                    break  # an argument of a group, whose command follows
                assert word in command.commands, f"{name_of(page)}: {code}"
                _, command, _ = command.resolve_command(typer.Context(command), [word])  # loads it
            commands = [
                command,
                *(below for name, below in getattr(command, "commands", {}).items() if f" {name} " in rest),
            ]
            known = {
                option
                for named in commands
                for parameter in named.get_params(typer.Context(root))
                for option in parameter.opts
            }
            options = set(re.findall(r"(?<!\S)(--?[a-z][a-z-]*)", re.sub(r"\"[^\"]*\"", "", rest)))
            assert options <= known | {"--help"}, f"{name_of(page)}: {code}"


def test_a_command_is_recognised_wherever_code_names_it() -> None:
    line = 'docker compose run --rm nightread submit /lists/a.csv --images /images && nightread sql "x"'
    assert [words for words, _ in CALL.findall(line)] == ["submit", "sql"]
    assert [words for words, _ in CALL.findall(".venv/bin/nightread db upgrade")] == ["db upgrade"]


# --- files, tests and dependencies -------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_to_a_file_and_its_heading(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), f"{name_of(page)}: {target}"
        assert ROOT in file.resolve().parents, f"{name_of(page)}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"{name_of(page)}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_test_and_source_file_that_a_page_names_exists(page: Path) -> None:
    written = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")]
    tests = {name for source in written for name in re.findall(r"^def (test_\w+)", source, re.MULTILINE)}
    for code in code_of(page):
        if re.fullmatch(r"test_\w+", code):
            assert code in tests, f"{name_of(page)}: {code}"
        if re.fullmatch(r"(?:config|db|jobs|workers|tests|benchmarks|docs)/[\w/.]*", code):
            assert (ROOT / code).exists(), f"{name_of(page)}: {code}"


def direct_dependencies() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    required = [*project["dependencies"], *(package for extra in extras for package in extra)]
    return sorted({re.split(r"[\[<>=~! ;]", package)[0] for package in required})


@pytest.mark.parametrize("name", direct_dependencies())
def test_every_direct_dependency_is_explained_and_pinned(name: str) -> None:
    page = (DOCS / "dependencies.md").read_text(encoding="utf-8")
    line = rf"^\| `{re.escape(name)}(?:\[[\w-]+\])?`[^|]*\| .{{12,}} \|$"
    assert re.search(line, page, re.MULTILINE)
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    assert re.search(rf"^{re.escape(name)}==\S+$", pins, re.MULTILINE | re.IGNORECASE)


def test_no_dependency_is_explained_that_is_none() -> None:
    page = (DOCS / "dependencies.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `([\w.-]+)", page, re.MULTILINE))
    assert explained == set(direct_dependencies())


# --- what the product prints -------------------------------------------------------------------------------


def printed_texts() -> str:
    """The texts in the four packages, each on a line; what an f-string puts in between is cut out."""
    texts = []
    for package in ("config", "db", "jobs", "workers"):
        for path in (ROOT / package).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            texts += [
                node.value
                for node in ast.walk(tree)
                if isinstance(node, ast.Constant) and isinstance(node.value, str)
            ]
    # %d and %s are where an event of the log has names and numbers.
    return "\n".join(re.sub(r"%[sdg]", "\n", text) for text in texts)


def test_every_line_that_the_page_for_the_night_quotes_is_printed() -> None:
    page = (DOCS / "operations.md").read_text(encoding="utf-8")
    quoted = re.findall(r"^\| `([^`]+)`(?: \*)? \|", page, re.MULTILINE)
    assert len(quoted) >= 30
    texts = printed_texts()
    pieces = {line: [piece.strip(" ,)") for piece in re.split("[…:;(]", line)] for line in quoted}
    assert all(any(len(piece) > 8 for piece in found) for found in pieces.values())
    assert [(line, piece) for line, found in pieces.items() for piece in found if piece not in texts] == []
