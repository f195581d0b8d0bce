"""What the pages say is so: their queries run; settings, commands, files and tests that they name exist."""

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import pytest
import typer
from compose_file import ROOT
from sqlalchemy import Connection, inspect, text
from support import STUB_CARD, make_run, write_card

from config.cards import find_model
from config.settings import ENVIRONMENT_PREFIX, Settings
from db import evaluations, ledger, queries, recovery
from db.database import Database
from db.ledger import Claim
from db.outcomes import Failed, Outcome, Scored
from db.upgrade import upgrade
from workers.evaluate import evaluate_run
from workers.scoring import StubScorer

DOCS = ROOT / "docs"
PAGES = sorted(path for path in (ROOT / "README.md", *DOCS.glob("*.md")) if path.exists())
QUESTIONS = DOCS / "sql.md"
NOT_SETTINGS = {"NIGHTREAD_REAL_DATA"}
"""Variables that the tests and benchmarks read, and Nightread itself does not."""

IMAGES = 240
LEASE = 60.0


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


# --- the pages' queries ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Query:
    """A statement of a page and the heading that it stands under."""

    page: Path
    heading: str
    statement: str


def queries_of(page: Path) -> list[Query]:
    found = []
    blocks = re.finditer(r"^```sql\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    for block in blocks:
        headings = re.findall(r"^#+ (.+)$", block.string[: block.start()], re.MULTILINE)
        statements = (one.strip() for one in block[1].split(";"))
        found += [Query(page, headings[-1] if headings else "", one) for one in statements if one]
    return found


def write_hospital_manifest(path: Path) -> None:
    """Write an archive with all that real ones have: visits, children, both views, blanks, missing labels."""
    lines = ["Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"]
    for number in range(IMAGES):
        patient, visit = divmod(number, 3)
        if patient == 0:
            lines.append(f"{number:08d}.png,,,,,,")
            continue
        label = ("No Finding", "Cardiomegaly|Effusion", "Effusion", "Mass", "")[number % 5]
        person = f"{visit},{patient},{5 + patient % 80},{'FM'[patient % 2]}"
        lines.append(f"{number:08d}.png,{label},{person},{('PA', 'AP')[visit % 2]}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def drawn(one: Scored) -> Scored:
    """As a network's worker leaves it: an overlay for each finding over its threshold."""
    scores = (
        replace(score, overlay_path=f"{score.finding}.jpg") if score.probability >= 0.5 else score
        for score in one.scores
    )
    return replace(one, scores=tuple(scores))


def outcomes_of(stub: StubScorer, held: Claim) -> list[Outcome]:
    """Scores for all images but every 29th, whose file is damaged."""
    return [
        Failed(one.image_id, "read", "damaged", "a wrong checksum") if one.image_id % 29 == 0 else drawn(one)
        for one in stub.score(held)
        if isinstance(one, Scored)
    ]


def fill(database: Database, folder: Path) -> None:
    """Two complete runs over one manifest, the second to show what a query without its run would mix up."""
    write_card(folder / "models", STUB_CARD)
    write_hospital_manifest(folder / f"manifest-{IMAGES}.csv")
    stub = StubScorer(find_model("stub", folder / "models").card)
    for run_id in (1, 2):
        assert make_run(database, folder, IMAGES, batch_size=32) == run_id
        for one in ledger.take_pending(database, 1_000):
            held = ledger.claim(database, one.batch_id, "worker", LEASE)
            assert held is not None
            outcomes = outcomes_of(stub, held)
            assert ledger.complete(database, held, outcomes, queries.finding_ids(database, run_id))
        (due,) = recovery.close_finished(database, run_id)
        evaluation = evaluations.claim_evaluation(database, due, LEASE)
        assert evaluation is not None
        assert evaluations.complete_evaluation(database, evaluation, evaluate_run(database, evaluation))
        assert queries.progress(database, run_id).status == "complete"


@pytest.fixture
def filled(database: Database, tmp_path: Path) -> Database:
    fill(database, tmp_path)
    return database


def answer(connection: Connection, query: Query) -> Sequence[dict[str, Any]]:
    """Ask a page's query of run 1; pages other than sql.md leave the run's number to the reader."""
    asked = query.statement
    if query.page != QUESTIONS:
        asked = re.sub(r"\brun_id = (?:\d+|RUN)\b", "run_id = 1", asked)
    return [dict(row) for row in connection.execute(text(asked)).mappings()]


def test_sql_page_asks_at_least_twelve_questions_of_one_run_each() -> None:
    asked = queries_of(QUESTIONS)
    assert len(asked) >= 12
    headings = [one.heading for one in asked]
    assert len(set(headings)) == len(headings)
    for one in asked:
        assert one.heading.endswith("?"), one.heading
        assert set(re.findall(r"\brun_id = (\d+)", one.statement)) == {"1"}, one.heading


def test_every_query_of_the_pages_gives_rows_and_reads_public_views_only(filled: Database) -> None:
    views = set(inspect(filled.engine).get_view_names())
    with filled.read_only() as connection:
        for query in (one for page in PAGES for one in queries_of(page)):
            what = f"{name_of(query.page)}: {query.heading}\n{query.statement}"
            read = set(re.findall(r"\b(?:FROM|JOIN)\s+(\w+)", query.statement))
            assert read, what
            assert read <= views, what
            assert answer(connection, query), what


def test_both_databases_give_the_same_answers(postgresql_url: str, tmp_path: Path) -> None:
    answers = []
    for number, url in enumerate((f"sqlite:///{tmp_path / 'nightread.db'}", postgresql_url)):
        folder = tmp_path / str(number)
        folder.mkdir()
        database = Database(url)
        upgrade(database)
        fill(database, folder)
        with database.read_only() as connection:
            answers.append({one.heading: answer(connection, one) for one in queries_of(QUESTIONS)})
        database.dispose()
    for heading, rows in answers[0].items():
        others = answers[1][heading]
        assert len(rows) == len(others), heading
        for row, other in zip(rows, others, strict=True):
            # PostgreSQL calculates with probabilities in single precision, as it keeps them.
            assert comparable(row) == pytest.approx(comparable(other), abs=1e-6), heading


def comparable(row: dict[str, Any]) -> dict[str, Any]:
    """A row without what differs from one run to the next: times, rates, paths."""
    return {
        name: value for name, value in row.items() if not re.search("_at$|_left$|_second$|manifest", name)
    }


def test_a_sensitivity_counted_by_hand_is_the_stored_one(filled: Database) -> None:
    (query,) = [one for one in queries_of(QUESTIONS) if one.heading == "Can I check a figure by hand?"]
    with filled.read_only() as connection:
        rows = answer(connection, query)
    assert len(rows) == 14
    assert sum(row["stored"] is not None for row in rows) == 3  # findings that the manifest labels
    for row in rows:
        assert row["counted"] == pytest.approx(row["stored"])


def test_sql_page_describes_every_column_of_every_view(filled: Database) -> None:
    page = QUESTIONS.read_text(encoding="utf-8")
    found = inspect(filled.engine)
    for view in found.get_view_names():
        section = re.search(rf"^### `{view}`.*?(?=^##)", page, re.MULTILINE | re.DOTALL)
        assert section, view
        first_cells = re.findall(r"^\| (`.*?) \|", section[0], re.MULTILINE)
        described = {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}
        assert described == {column["name"] for column in found.get_columns(view)}, view


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
    r"(?:^|[\s(]|bin/)nightread ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)?)((?:[^|#;&\n]|\"[^\"]*\")*)"
)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_command_that_a_page_names_exists_with_its_options(page: Path) -> None:
    from workers.cli import app

    root = typer.main.get_command(app)
    for code in code_of(page):
        for words, rest in CALL.findall(code):
            command: Any = root
            for word in words.split():
                if not hasattr(command, "commands"):
                    break  # an argument of a command
                assert word in command.commands, f"{name_of(page)}: {code}"
                command = command.commands[word]
            known = {option for one in command.get_params(click.Context(root)) for option in one.opts}
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
            anchors = {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}
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
    required = [*project["dependencies"], *(one for extra in extras for one in extra)]
    return sorted({re.split(r"[\[<>=~! ;]", one)[0] for one in required})


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
