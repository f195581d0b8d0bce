"""Whether a run's stored maps point into the boxes, from known maps in SQL to the rows of an evaluation."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import func, select, update
from support import CLASSIFIER_CARD, STUB_CARD, finding_ids, write_card

from config.failures import Reason, Stage
from config.findings import FINDINGS
from config.settings import Settings
from db import ledger
from db.boxes import Box, find_or_write_boxes
from db.classifications import Classification, FindingScore
from db.database import Database
from db.errors import UnknownRunError
from db.ledger import BatchImage
from db.outcomes import Failed, Outcome
from db.schema.archives import box, box_set
from db.schema.evaluations import localisation_result
from db.schema.runs import model, run
from jobs.submit import Order, submit
from jobs.tables.boxes import read_boxes
from workers.evaluation.localisation import localise_run
from workers.metrics.shares import wilson

SIDE = 100
"""Width and height of the images here, pixels; a place of their 10 x 10 maps has 10."""

Maps = NDArray[np.float32]


def hot(row: int, column: int, findings: Sequence[str] = FINDINGS) -> Maps:
    """Maps (10, 10, findings) with one hot place, the same for every finding."""
    maps = np.zeros((10, 10, len(findings)), np.float32)
    maps[row, column] = 1
    return maps


def scored(
    image: BatchImage,
    maps: Maps | None,
    width: int = SIDE,
    height: int = SIDE,
    names: Sequence[str] = FINDINGS,
) -> Classification:
    return Classification(
        image.image_id,
        width,
        height,
        tuple(FindingScore(name, 0.5) for name in names),
        maps=None if maps is None else maps.astype("<f2").tobytes(),
        map_shape=None if maps is None else (10, 10),
    )


class Archive:
    """Runs over images a.png, b.png ... whose outcomes the test gives."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder

    def run(self, maps: dict[str, Maps | str | None], card: dict[str, Any] = STUB_CARD, **size: int) -> int:
        """Commit a run over these images: maps, None for none kept, or the reason of a failure."""
        write_card(self.folder / "models", card)
        manifest = self.folder / "manifest.csv"
        manifest.write_text("\n".join(["Image Index,Finding Labels", *(f"{name}," for name in maps)]))
        order = Order(manifest, self.folder, card["name"], batch_size=1000)
        run_id = submit(self.database, Settings(home=self.folder), order)
        (announced,) = ledger.take_pending(self.database, 1)
        held = ledger.claim(self.database, announced.batch_id, "worker", 60.0)
        assert held is not None
        outcomes: list[Outcome] = []
        for image in held.images:
            given = maps[image.image_index]
            if isinstance(given, str):
                outcomes.append(Failed(image.image_id, Stage.READ, Reason(given), "for the test"))
            else:
                outcomes.append(scored(image, given, names=card["findings"], **size))
        assert ledger.complete(self.database, held, outcomes)
        return run_id

    def boxes(self, *boxes: Box, fingerprint: str = "f" * 64) -> int:
        with self.database.write() as connection:
            return find_or_write_boxes(connection, fingerprint=fingerprint, path="boxes.csv", boxes=boxes)

    def judged(self, run_id: int, box_set_id: int) -> dict[str, dict[str, Any]]:
        """The rows by their finding's name, without its id."""
        ids = {id_: name for name, id_ in finding_ids(self.database, run_id).items()}
        rows = localise_run(self.database, run_id, box_set_id)
        return {ids.get(row.pop("finding_id"), "?"): row for row in rows}


@pytest.fixture
def archive(database: Database, tmp_path: Path) -> Archive:
    return Archive(database, tmp_path)


def test_a_hot_place_in_the_box_is_a_hit_and_beside_it_is_none(archive: Archive) -> None:
    run_id = archive.run({"a.png": hot(2, 3), "b.png": hot(7, 7)})
    # Around the place's ten pixels; at half of its height the resized map reaches five beyond its middle.
    on = archive.boxes(Box("a.png", "Mass", 30, 20, 10, 10), Box("b.png", "Mass", 70, 70, 10, 10))
    off = archive.boxes(Box("a.png", "Mass", 60, 60, 10, 10), fingerprint="0" * 64)
    low, high = wilson(2, 2)
    (row,) = archive.judged(run_id, on).values()
    assert row.pop("mean_iou") > 0.5
    assert (row.pop("mean_iou_low"), row.pop("mean_iou_high")) == (None, None)  # two patients
    assert row == {"images": 2, "hits": 2, "pointing": 1.0, "ci_low": low, "ci_high": high, "reason": None}
    (row,) = archive.judged(run_id, off).values()
    assert (row["images"], row["hits"], row["pointing"], row["mean_iou"]) == (1, 0, 0.0, 0.0)


def test_each_finding_is_judged_by_its_own_map_and_its_own_boxes(archive: Archive) -> None:
    maps = hot(0, 0)
    maps[:, :, FINDINGS.index("Nodule")] = hot(9, 9)[:, :, 0]
    corner = (90.0, 90.0, 10.0, 10.0)
    boxes = archive.boxes(
        Box("a.png", "Nodule", *corner),
        Box("a.png", "Mass", *corner),
        Box("a.png", "Mass", 40, 40, 5, 5),
    )
    found = archive.judged(archive.run({"a.png": maps}), boxes)
    assert {name: (row["images"], row["hits"]) for name, row in found.items()} == {
        "Mass": (1, 0),
        "Nodule": (1, 1),
    }


def test_several_boxes_of_a_finding_are_one_image(archive: Archive) -> None:
    run_id = archive.run({"a.png": hot(2, 3)})
    boxes = archive.boxes(*(Box("a.png", "Mass", x, 20, 10, 10) for x in (30, 60)))
    row = archive.judged(run_id, boxes)["Mass"]
    assert (row["images"], row["hits"]) == (1, 1)
    assert row["mean_iou"] < 0.5  # the second box counts against the map


def test_the_map_covers_only_what_a_cropping_model_sees(archive: Archive) -> None:
    card = CLASSIFIER_CARD | {"pixels": CLASSIFIER_CARD["pixels"] | {"center_crop": True}}
    run_id = archive.run({"a.png": hot(0, 0)}, card, width=300, height=SIDE)
    boxes = archive.boxes(Box("a.png", "Mass", 100, 0, 10, 10), Box("a.png", "Nodule", 0, 0, 30, 10))
    found = archive.judged(run_id, boxes)
    assert (found["Mass"]["hits"], found["Nodule"]["hits"]) == (1, 0)


def test_maps_are_read_in_the_order_of_the_runs_own_model(archive: Archive) -> None:
    names = ["Nodule", "Mass"]
    maps = hot(0, 0, names)
    maps[:, :, 1] = hot(5, 5, names)[:, :, 0]
    card = STUB_CARD | {"name": "two", "findings": names, "thresholds": [0.5, 0.5]}
    archive.run({"a.png": hot(9, 9)})  # its findings come first in the database
    row = archive.judged(
        archive.run({"a.png": maps}, card), archive.boxes(Box("a.png", "Mass", 50, 50, 10, 10))
    )["Mass"]
    assert (row["images"], row["hits"]) == (1, 1)


def test_what_could_not_be_judged_is_counted_with_its_reason(archive: Archive) -> None:
    nan = np.full((10, 10, len(FINDINGS)), np.nan, np.float32)
    run_id = archive.run({"a.png": hot(2, 3), "b.png": "damaged", "c.png": None, "d.png": nan})
    boxes = archive.boxes(*(Box(f"{name}.png", "Mass", 30, 20, 10, 10) for name in "abcdef"))
    row = archive.judged(run_id, boxes)["Mass"]
    assert (row["images"], row["hits"]) == (1, 1)
    assert row["reason"].startswith("of 6 images with a box: 2 not in the run's manifest, ")
    for words in ("1 not scored", "1 without a stored map", "1 the map has a value that is no number"):
        assert words in row["reason"]


def test_a_run_without_maps_has_rows_that_say_so(archive: Archive) -> None:
    row = archive.judged(archive.run({"a.png": None}), archive.boxes(Box("a.png", "Mass", 30, 20, 10, 10)))[
        "Mass"
    ]
    assert (row["images"], row["hits"]) == (0, 0)
    assert [row[name] for name in ("pointing", "ci_low", "ci_high", "mean_iou")] == [None] * 4
    assert row["reason"] == "of 1 images with a box: 1 without a stored map (imported, or --heatmaps none)"


def test_an_imported_run_whose_card_tells_nothing_of_pixels_has_rows_that_say_so(archive: Archive) -> None:
    run_id = archive.run({"a.png": None})
    with archive.database.write() as connection:
        connection.execute(update(model).values(card='{"name": "theirs"}'))
    row = archive.judged(run_id, archive.boxes(Box("a.png", "Mass", 30, 20, 10, 10)))["Mass"]
    assert (row["images"], row["pointing"]) == (0, None)
    assert "imported" in row["reason"]


def test_boxes_of_a_finding_that_the_model_lacks_are_reported(archive: Archive) -> None:
    run_id = archive.run({"a.png": hot(2, 3)})
    area = (30.0, 20.0, 10.0, 10.0)
    boxes = archive.boxes(Box("a.png", "Fracture", *area), Box("a.png", "Mass", *area))
    found = archive.judged(run_id, boxes)
    assert (found["Mass"]["images"], found["Mass"]["reason"]) == (1, None)
    assert (found["?"]["images"], found["?"]["pointing"]) == (0, None)
    assert found["?"]["reason"] == "the model does not score Fracture"


def test_an_empty_map_is_a_miss(archive: Archive) -> None:
    run_id = archive.run({"a.png": np.zeros((10, 10, len(FINDINGS)), np.float32)})
    row = archive.judged(run_id, archive.boxes(Box("a.png", "Mass", 30, 20, 10, 10)))["Mass"]
    assert (row["images"], row["hits"], row["mean_iou"], row["reason"]) == (1, 0, 0.0, None)


def test_a_run_of_only_new_images_takes_each_map_from_the_newest_run_that_scored_it(archive: Archive) -> None:
    here, there = hot(2, 3), hot(8, 8)
    archive.run({"a.png": there, "b.png": here, "c.png": here})
    archive.run({"b.png": here, "a.png": here, "c.png": "damaged"})
    archive.run({"a.png": there}, STUB_CARD | {"name": "other", "description": "of another model"})
    run_id = archive.run({"a.png": "damaged", "b.png": there, "c.png": "damaged", "d.png": here})
    archive.run({"c.png": there, "d.png": there})  # later
    boxes = archive.boxes(*(Box(f"{name}.png", "Mass", 30, 20, 10, 10) for name in "abcd"))
    with archive.database.write() as connection:
        connection.execute(update(run).where(run.c.id == run_id).values(only_new=True))
    row = archive.judged(run_id, boxes)["Mass"]
    assert (row["images"], row["hits"], row["reason"]) == (4, 3, None)  # a, c and d; b was scored anew
    with archive.database.write() as connection:
        connection.execute(update(run).where(run.c.id == run_id).values(only_new=False))
    row = archive.judged(run_id, boxes)["Mass"]
    assert (row["images"], row["hits"]) == (2, 1)
    assert row["reason"] == "of 4 images with a box: 2 not scored"


def test_an_image_of_the_same_name_in_another_archive_is_another_image(
    database: Database, tmp_path: Path
) -> None:
    archives = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        archives.append(Archive(database, tmp_path / name))
    first, second = (
        archive.run({"a.png": hot(2, 3) if archive is archives[0] else hot(8, 8)}) for archive in archives
    )
    boxes = archives[0].boxes(Box("a.png", "Mass", 30, 20, 10, 10))
    hits = [archives[0].judged(run_id, boxes)["Mass"]["hits"] for run_id in (first, second)]
    assert hits == [1, 0]


def test_the_rows_are_those_of_the_table(archive: Archive) -> None:
    run_id = archive.run({"a.png": hot(2, 3)})
    boxes = archive.boxes(Box("a.png", "Mass", 30, 20, 10, 10))
    (row,) = localise_run(archive.database, run_id, boxes)
    assert set(row) == {column.name for column in localisation_result.columns} - {"evaluation_id"}


def test_a_set_of_boxes_is_stored_once(archive: Archive) -> None:
    mass = Box("a.png", "Mass", 30.25, 20, 10, 10)
    first = archive.boxes(mass, mass)
    assert archive.boxes(mass, mass) == first
    assert archive.boxes(mass, fingerprint="0" * 64) != first
    with archive.database.read() as connection:
        assert connection.execute(select(func.count()).select_from(box_set)).scalar_one() == 2
        stored = connection.execute(
            select(box.c.number, box.c.x).where(box.c.box_set_id == first).order_by(box.c.number)
        )
        assert [tuple(row) for row in stored] == [(1, 30.25), (2, 30.25)]


def test_a_run_that_does_not_exist_is_named(archive: Archive) -> None:
    with pytest.raises(UnknownRunError, match="no run 7"):
        localise_run(archive.database, 7, 1)


def test_nihs_984_boxes_are_judged_in_five_seconds(archive: Archive, real_data: Path) -> None:
    listed = read_boxes(real_data / "nih" / "BBox_List_2017.csv.gz")
    places = {box_.image_index: box_ for box_ in listed.boxes}
    maps: dict[str, Maps | str | None] = {}
    for name, box_ in places.items():  # hot in the middle of the image's last box
        row, column = (box_.y + box_.height / 2) / 102.4, (box_.x + box_.width / 2) / 102.4
        maps[name] = hot(min(9, int(row)), min(9, int(column)))
    run_id = archive.run(maps, width=1024, height=1024)
    boxes = archive.boxes(*listed.boxes, fingerprint=listed.fingerprint)
    begun = time.process_time()
    found = archive.judged(run_id, boxes)
    spent = time.process_time() - begun
    assert len(found) == 8
    assert sum(row["images"] for row in found.values()) == len(
        {(box_.image_index, box_.finding) for box_ in listed.boxes}
    )
    assert found["Cardiomegaly"]["pointing"] > 0.9
    assert spent < 5
