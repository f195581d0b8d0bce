"""What a program is told when a run has ended: the same as a person, as JSON's types."""

from pathlib import Path

import pytest
from support import close_run, make_run, score_batches

from config.failures import Reason, Stage
from db import queries
from db.database import Database
from db.outcomes import Failed, Outcome
from jobs.console import print_json
from jobs.results import outcome


def lost(answer: Outcome) -> Outcome:
    if answer.image_id > 2:
        return answer
    return Failed(answer.image_id, Stage.READ, Reason.MISSING, "there is no such file")


def test_the_outcome_has_counts_what_was_read_figures_and_failures(
    sqlite: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = make_run(sqlite, tmp_path, 40)
    score_batches(sqlite, tmp_path / "models", run_id, lost)
    close_run(sqlite, run_id)
    told = outcome(sqlite, queries.progress(sqlite, run_id))
    assert (told["run_id"], told["status"], told["scored"], told["failed"]) == (run_id, "complete", 38, 2)
    assert told["reading"] == queries.reading_of(sqlite, run_id)
    assert told["failure_reasons"] == [
        {"stage": "read", "reason": "missing", "images": 2, "first": ["00000000_000.png"]}
    ]
    table = queries.auc_table(sqlite, run_id)
    assert told["auc"] == [dict(zip(row._fields, row, strict=True)) for row in table]
    assert len(table) == 14
    print_json(told)
    assert '"status": "complete"' in capsys.readouterr().out
