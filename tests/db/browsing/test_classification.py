"""Pages of a run's images: each image once, in order, whatever is filtered, on both databases."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from browse_support import walked
from sqlalchemy import text, update
from support import make_run, score_batches, tenth_failed

from db.browsing import classification as browsing
from db.browsing.classification import Subject, Wanted
from db.database import Database
from db.errors import UnknownRunError
from db.schema.runs import score

IMAGES = 40


@pytest.fixture
def run(database: Database, tmp_path: Path) -> int:
    """A run of which every tenth image failed, with ties among its scores."""
    number = make_run(database, tmp_path, IMAGES)

    score_batches(database, tmp_path / "models", number, tenth_failed)
    with database.write() as connection:
        connection.execute(update(score).where(score.c.image_id < 9).values(probability=0.1))
    return number


def subject(database: Database, run: int) -> Subject:
    with database.read_only() as connection:
        return browsing.subject(connection, run)


walk = partial(walked, browsing.places)


def rows(database: Database, query: str, **values: Any) -> list[Any]:
    with database.read_only() as connection:
        return [row[0] for row in connection.execute(text(query), values)]


NAMED = (
    "SELECT i.id FROM {view} v JOIN image i ON i.image_index = v.image_index WHERE v.run_id = 1 AND {asked}"
)


def test_all_images_come_once_in_the_manifests_order(database: Database, run: int) -> None:
    found = [place.image_id for place in walk(database, subject(database, run), Wanted())]
    assert found == rows(database, "SELECT image_id FROM manifest_row ORDER BY row_number")
    assert len(found) == IMAGES


@pytest.mark.parametrize(
    ("at_least", "label", "asked"),
    [
        (None, None, "TRUE"),
        (0.5, None, "probability >= 0.5"),
        (None, "1", "label = 1"),
        (0.25, "0", "label = 0 AND probability >= 0.25"),
        (None, "-", "label IS NULL"),
    ],
)
def test_a_findings_images_fall_in_probability_and_ties_lose_none(
    database: Database,
    run: int,
    at_least: float | None,
    label: Any,
    asked: str,
) -> None:
    of = subject(database, run)
    mass = next(finding for finding in of.findings if finding.name == "Mass")
    wanted = Wanted(finding=mass, at_least=at_least, label=label)
    found = list(walk(database, of, wanted))
    query = NAMED.format(view="scores", asked=f"finding = 'Mass' AND {asked}")
    assert [place.image_id for place in found] == rows(
        database, f"{query} ORDER BY v.probability DESC, i.id DESC"
    )
    if found:  # and back from its end, the same
        assert [*walk(database, of, wanted, found[-1].key, back=True)] == found[-2::-1]


@pytest.mark.parametrize("near", [browsing._NEAR, 5, 0])
@pytest.mark.parametrize(
    ("wanted", "query"),
    [
        (Wanted(at_least=0.97), NAMED.format(view="scores", asked="probability >= 0.97")),
        (Wanted(label="1"), NAMED.format(view="scores", asked="label = 1")),
        (Wanted(failure="none"), NAMED.format(view="scores", asked="TRUE")),
        (Wanted(failure="any"), NAMED.format(view="failures", asked="TRUE")),
        (Wanted(failure="truncated"), NAMED.format(view="failures", asked="reason = 'truncated'")),
        (Wanted(failure="empty"), NAMED.format(view="failures", asked="reason = 'empty'")),
        (Wanted(failure="any", at_least=0.1), NAMED.format(view="failures", asked="FALSE")),
    ],
)
def test_filters_without_a_finding_are_those_of_the_views(
    database: Database, run: int, monkeypatch: pytest.MonkeyPatch, near: int, wanted: Wanted, query: str
) -> None:
    monkeypatch.setattr(browsing, "_NEAR", near)
    found = [place.image_id for place in walk(database, subject(database, run), wanted)]
    if wanted.label is not None:  # a failed image is labelled too, and the view has only those with scores
        failed = set(rows(database, NAMED.format(view="failures", asked="TRUE")))
        found = [number for number in found if number not in failed]
    assert found == sorted(set(rows(database, query)))
    back = [
        place.image_id for place in walk(database, subject(database, run), wanted, (IMAGES + 1,), back=True)
    ]
    assert [number for number in back if number in found] == found[::-1]


def test_an_image_is_described_by_its_own_run_only(database: Database, run: int, tmp_path: Path) -> None:
    other = make_run(database, tmp_path, 3)
    of = subject(database, run)
    with database.read_only() as connection:
        (scored, failed) = browsing.described(connection, of, [9, 10])
        assert scored["image_index"] == "00000008_000.png"
        assert len(scored["scores"]) == len(of.findings)
        assert (failed["reason"], failed["scores"]) == ("truncated", {})
        elsewhere = browsing.subject(connection, other)
        assert browsing.described(connection, elsewhere, [9]) == []
        assert browsing.name_of(connection, elsewhere, 9) is None
        assert browsing.maps_of(connection, elsewhere, 9) is None
        with pytest.raises(UnknownRunError, match="no run 99"):
            browsing.subject(connection, 99)
