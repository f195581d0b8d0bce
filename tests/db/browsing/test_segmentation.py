"""Pages of a run's cases: each case once, in order, whatever is filtered, on both databases."""

import math
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browse_support import walked
from support import SEGMENTATION_CARD
from volume_support import answer_cases

from config.failures import Reason, Stage
from db.answers import read_rows
from db.browsing import segmentation as browsing
from db.browsing.segmentation import Segmented, Subject, Wanted
from db.database import Database, Record
from db.errors import UnknownRunError
from db.ledger import Claim
from db.outcomes import Failed, Outcome
from db.segmentations import Measures, Segment, Segmentation

CASES = 24
NAMES = (*SEGMENTATION_CARD["classes"], *SEGMENTATION_CARD["regions"])


def answer(held: Claim) -> list[Outcome]:
    """Answer a case with ties among its figures; every sixth has no label, and every eighth failed."""
    (case,) = held.images
    number = case.image_id
    if number % 8 == 0:
        return [Failed(number, Stage.READ, Reason.WRONG_SHAPE, "Label: of another shape")]
    labelled = number % 6 != 0
    random = np.random.default_rng(number)
    found = []
    for name in NAMES:
        voxels = int(random.integers(0, 4)) * 1000
        dice = random.integers(0, 5) / 4 if labelled and random.random() < 0.8 else None
        found.append(
            Segment(
                *(name, "class", voxels, 1, voxels / 1000, voxels / 1000, None, None, 0.5),
                voxels if labelled else None,
                Measures(dice=dice, reason=None if labelled else "no_label"),
            )
        )
    size, spacing = (4, 4, 4), (1.0, 1.0, 1.0)
    return [Segmentation(number, size, spacing, labelled, "run-000001/masks/m.nii.gz", None, tuple(found))]


@pytest.fixture
def of(database: Database, tmp_path: Path) -> Subject:
    """A run of CASES cases."""
    (tmp_path / "volumes").mkdir()
    names = [f"c{number}.nii" for number in range(CASES)]
    for name in names:
        (tmp_path / "volumes" / name).touch()
    run_id = answer_cases(database, tmp_path, "\n".join(["Image", *names, ""]), answer)
    with database.read_only() as connection:
        return browsing.subject(connection, run_id)


walk = partial(walked, browsing.places)


def cases(database: Database) -> dict[str, Record]:
    """What the views say of each case in the manifest's order: its failure, or its segments."""
    with database.read_only() as connection:
        failures = read_rows(connection, "SELECT image_index, reason FROM failures")
        segments = read_rows(connection, "SELECT image_index, finding, dice, ml, reason FROM segments")
    found: dict[str, Record] = {f"c{number}.nii": {"failure": None, "of": {}} for number in range(CASES)}
    for row in failures:
        found[row["image_index"]]["failure"] = row["reason"]
    for row in segments:
        found[row["image_index"]]["of"][row["finding"]] = row
    return found


def figure(case: Record, finding: Segmented | None, measure: str) -> float | None:
    names = NAMES if finding is None else [finding.name]
    known = [case["of"][name][measure] for name in names if name in case["of"]]
    known = [value for value in known if value is not None]
    extreme = min if measure == "dice" else max
    return extreme(known) if known else None


def fits(case: Record, wanted: Wanted) -> bool:
    dice, ml = (figure(case, wanted.finding, measure) for measure in ("dice", "ml"))
    labelled = None if case["failure"] else case["of"]["WT"]["reason"] != "no_label"
    return (
        (wanted.dice_below is None or (dice is not None and dice < wanted.dice_below))
        and (wanted.least_ml is None or (ml is not None and ml >= wanted.least_ml))
        and wanted.labelled in {None, labelled}
        and wanted.failure
        in {None, "any" if case["failure"] else "none", case["failure"] and str(case["failure"])}
    )


def turn(known: dict[str, Record], wanted: Wanted, name: str) -> float:
    if wanted.order is None:
        return 0
    value = figure(known[name], wanted.finding, wanted.order)
    if value is None:
        return math.inf
    return value if wanted.order == "dice" else -value


FILTERS: tuple[dict[str, Any], ...] = (
    {},
    {"least_ml": 2.0},
    {"dice_below": 0.75},
    {"labelled": True},
    {"labelled": False},
    {"failure": "none"},
    {"failure": "any"},
    {"failure": "wrong_shape"},
    {"failure": "missing"},
    {"dice_below": 0.5, "least_ml": 1.0, "labelled": True},
)


def test_each_case_comes_once_and_in_order_whatever_is_filtered(database: Database, of: Subject) -> None:
    known = cases(database)
    for finding, order, filters in product((None, *of.findings[2:4]), (None, "dice", "ml"), FILTERS):
        wanted = Wanted(finding=finding, order=order, **filters)
        expected = sorted(
            (name for name in known if fits(known[name], wanted)),
            key=partial(turn, known, wanted),
        )
        found = list(walk(database, of, wanted))
        with database.read_only() as connection:
            rows = browsing.described(connection, of, [place.image_id for place in found])
            keys = [browsing.key_of(connection, of, wanted, place.image_id) for place in found]
        assert [row["image_index"] for row in rows] == expected, wanted
        assert keys == [place.key for place in found]
        if found:  # and back from its end, the same
            assert [*walk(database, of, wanted, found[-1].key, back=True)] == found[-2::-1]


def test_a_case_is_described_by_its_own_run_only(database: Database, of: Subject, tmp_path: Path) -> None:
    with database.read_only() as connection:
        found, unlabelled, failed = browsing.described(connection, of, [7, 6, 8])
        assert [row["image_index"] for row in (found, unlabelled, failed)] == ["c6.nii", "c5.nii", "c7.nii"]
        assert len(found["segments"]) == len(of.findings)
        assert (found["volume"]["labelled"], unlabelled["volume"]["labelled"]) == (True, False)
        assert (failed["volume"], failed["segments"], failed["reason"]) == (None, {}, "wrong_shape")
        assert browsing.key_of(connection, of, Wanted(failure="any"), 7) is None
        assert browsing.path_of(connection, of, 7, "mask_path") == "run-000001/masks/m.nii.gz"
        assert browsing.path_of(connection, of, 7, "planes_path") is None
        assert browsing.path_of(connection, of, 8, "mask_path") is None
    (tmp_path / "volumes" / "other.nii").touch()
    other = answer_cases(database, tmp_path, "Image\nother.nii\n", answer)
    with database.read_only() as connection:
        elsewhere = browsing.subject(connection, other)
        assert browsing.described(connection, elsewhere, [7]) == []
        assert browsing.path_of(connection, elsewhere, 7, "mask_path") is None
        with pytest.raises(UnknownRunError, match="no run 99"):
            browsing.subject(connection, 99)


def test_cases_without_an_outcome_are_counted(database: Database, of: Subject, tmp_path: Path) -> None:
    with database.read_only() as connection:
        assert browsing.pending(connection, of) == 0
    answered = iter(range(CASES))

    def half(held: Claim) -> list[Outcome]:
        if next(answered) == 5:
            raise KeyboardInterrupt
        return answer(held)

    with pytest.raises(KeyboardInterrupt):
        answer_cases(database, tmp_path, (tmp_path / "manifest.csv").read_text() + "\n", half)
    with database.read_only() as connection:
        going_on = browsing.subject(connection, of.run_id + 1)
        assert browsing.pending(connection, going_on) == CASES - 5
        assert len(browsing.places(connection, going_on, Wanted(), None, CASES)) == 5
