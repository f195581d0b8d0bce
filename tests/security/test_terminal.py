"""Whatever stands in databases and on command lines, only text reaches a terminal: 10,000 hostile strings."""

import io
import json
import re
import unicodedata
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from hostile import strings
from sqlalchemy import bindparam, text, update
from support import Nightread, close_run, make_run, score_batches, write_manifest

from config.failures import Reason, Stage
from db.database import Database
from db.outcomes import Failed, Outcome
from db.schema.archives import finding, image, manifest_row
from db.schema.archives import manifest as manifest_table
from db.schema.runs import image_result, run
from db.upgrade import upgrade
from jobs import console

IMAGES = 2_500
RICHS = re.compile(r"\x1b\[\??[0-9;]*[mlhKA]|\r(?=\x1b\[)")
"""Its colours and its clock; the strings have such only beside others, which would be seen."""


class Terminal(io.StringIO):
    """Standard output of a terminal, with nobody before it."""

    def isatty(self) -> bool:
        return True


def require_harmless(printed: str) -> None:
    """Fail for a traceback, and for any character that acts on a terminal but those of Rich's colours."""
    assert "Traceback" not in printed
    left = RICHS.sub("", printed)
    assert {letter for letter in left if unicodedata.category(letter) in {"Cc", "Cs", "Zl", "Zp"}} <= set(
        "\n\t"
    )
    assert not set(left) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\x1b")
    printed.encode()


def at_terminal(nightread: Nightread, *arguments: str | Path) -> str:
    """Call a command as at a terminal; gives what it printed there."""
    shown = Terminal()
    with pytest.MonkeyPatch.context() as patch:
        for name in ("out", "err"):
            with redirect_stdout(shown), redirect_stderr(shown):
                patch.setattr(console, name, console._console(stderr=name == "err"))
        patch.setattr(io, "StringIO", lambda: shown)
        done = nightread.call(*arguments)
    assert done.returncode in {0, 1, 2, 3}
    require_harmless(shown.getvalue())
    return shown.getvalue()


@pytest.fixture
def hostile(nightread: Nightread) -> Nightread:
    """A home with a run in which every text is hostile: 2,500 names, patients, messages, and a few more."""
    database = nightread.database()
    upgrade(database)
    run_id = make_run(database, nightread.home, IMAGES, batch_size=500)

    def half_failed(outcome: Outcome) -> Outcome:
        if outcome.image_id % 2:
            return outcome
        return Failed(outcome.image_id, Stage.READ, Reason.DAMAGED, "no")

    score_batches(database, nightread.home / "models", change=half_failed)
    close_run(database, run_id)
    rename(database)
    return nightread


def rename(database: Database) -> None:
    """Put hostile strings in the places of names, patients, views, messages and findings."""
    with database.write() as connection:
        for seed, (column, key) in enumerate(
            (
                (image.c.image_index, image.c.id),
                (manifest_row.c.patient_id, manifest_row.c.image_id),
                (manifest_row.c.view_position, manifest_row.c.image_id),
                (image_result.c.message, image_result.c.image_id),
            )
        ):
            renamed = (
                update(column.table).where(key == bindparam("key")).values({column.name: bindparam("to")})
            )
            if column is image_result.c.message:
                renamed = renamed.where(image_result.c.status == "failed")
            connection.execute(
                renamed, [{"key": place, "to": to} for place, to in enumerate(strings(seed, IMAGES), 1)]
            )
        for name, to in zip(("Hernia", "Edema"), strings(9, 2), strict=True):
            connection.execute(update(finding).where(finding.c.name == name).values(name=to))
        connection.execute(update(manifest_table).values(path=strings(10, 1)[0]))
        connection.execute(update(run).values(message=strings(11, 1)[0]))
        connection.execute(text("UPDATE batch SET worker = :to"), {"to": strings(12, 1)[0]})


def test_no_value_of_the_database_acts_on_a_terminal(hostile: Nightread) -> None:
    for query in (
        "SELECT * FROM failures",
        "SELECT DISTINCT image_index, patient_id, view_position FROM scores",
        "SELECT * FROM progress",
        "SELECT * FROM auc",
    ):
        assert at_terminal(hostile, "sql", query)
    for form in ("--json", "--csv", "--tsv"):
        assert at_terminal(hostile, "sql", "SELECT DISTINCT image_index, patient_id FROM scores", form)
    assert "\\x1b]0;" in at_terminal(hostile, "failures", "1")
    for arguments in (
        ("status",),
        ("status", "1"),
        ("status", "1", "--json"),
        ("failures", "1", "--json"),
        ("worklist", "1"),
        ("worklist", "1", "--json"),
    ):
        at_terminal(hostile, *arguments)


def test_no_text_of_a_command_line_or_of_an_error_acts_on_a_terminal(hostile: Nightread) -> None:
    manifest = write_manifest(hostile.home / "manifest.csv", 3)
    for said in strings(20, 1):
        for arguments in (
            ("sql", f"SELECT '{said}'"),
            ("sql", said),
            ("status", said),
            ("heatmap", "1", said, "--finding", said, "-o", "x.png"),
            ("score", said, "--images", said),
            ("submit", manifest, "--images", hostile.home, "--model", said),
            ("import-scores", said, "--name", said),
            ("models", "show", said),
            ("schedule", "remove", said),
            ("schedule", "add", said, "--cron", said, "score", said),
            (said,),
        ):
            at_terminal(hostile, *arguments)


def test_a_megabyte_acts_on_no_terminal(nightread: Nightread) -> None:
    at_terminal(nightread, "models", "show", "\x1b]0;\x07" * 2**18)


def test_no_cell_of_a_refused_manifest_acts_on_a_terminal(nightread: Nightread, tmp_path: Path) -> None:
    lines = ["Image Index,Finding Labels,Patient Age"]
    lines += [f"{json.dumps(said)},{said!r},x{place}" for place, said in enumerate(strings(30, 1_000))]
    path = tmp_path / "manifest.csv"
    path.write_text("\n".join(lines), encoding="utf-8", newline="")
    at_terminal(nightread, "submit", path, "--images", tmp_path, "--model", "stub")
    for said in strings(31, 3):
        path.write_text(f"{said},Finding Labels\na.png,b\n", encoding="utf-8", newline="")
        at_terminal(nightread, "submit", path, "--images", tmp_path, "--model", "stub")
        path.write_text(f"Image Index,Finding Labels\n{said},{said}\n", encoding="utf-8", newline="")
        at_terminal(nightread, "submit", path, "--images", tmp_path, "--model", "stub")
