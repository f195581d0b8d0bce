"""Each kind of card has a scorer, an evaluation and a record, and the records name what there is."""

from pathlib import Path

import pytest
from support import make_run

from config.cards.model import CARDS
from db.database import Database
from jobs.export import EXPORTS
from jobs.kinds.known import ANSWER_KINDS, UnknownAnswerError, kind_of
from jobs.kinds.objects import OBJECT_KINDS
from jobs.kinds.segmentation import REASONS
from workers.browse.kinds import PAGES
from workers.commands.main import COMMANDS
from workers.evaluation.figures import EVALUATIONS
from workers.metrics.segmentation import Undefined
from workers.outputs.dicom.identity import SERIES_NUMBERS
from workers.scoring.kinds import SCORERS
from workers.scoring.segmentation import NO_LABEL


def test_each_kind_of_card_has_its_line_in_each_registry() -> None:
    assert set(CARDS) == set(SCORERS) == set(EVALUATIONS) == set(ANSWER_KINDS) == set(PAGES)


def test_the_records_name_views_and_commands_that_there_are() -> None:
    for kind in ANSWER_KINDS.values():
        assert kind.view in EXPORTS
        assert set(kind.unsuited) <= set(COMMANDS)


def test_each_reason_why_a_segments_measures_are_null_has_its_words() -> None:
    assert set(REASONS) == {NO_LABEL, *Undefined}


def test_each_kind_of_object_is_of_some_answers_and_has_a_series_of_its_own() -> None:
    assert {found for kind in ANSWER_KINDS.values() for found in kind.objects} == set(OBJECT_KINDS)
    assert set(SERIES_NUMBERS) == set(OBJECT_KINDS)
    assert len(set(SERIES_NUMBERS.values())) == len(OBJECT_KINDS)


def test_a_run_of_a_kind_that_came_with_a_later_version_is_refused_by_name(
    sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = make_run(sqlite, tmp_path, 1)
    assert kind_of(sqlite, run_id) is ANSWER_KINDS["stub"]
    monkeypatch.delitem(ANSWER_KINDS, "stub")
    with pytest.raises(UnknownAnswerError, match=f"run {run_id} .*'stub'"):
        kind_of(sqlite, run_id)
