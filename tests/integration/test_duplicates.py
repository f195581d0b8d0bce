"""`nightread duplicates` as its user runs it: on phantoms and copies of them, and on real radiographs."""

import csv
import hashlib
import json
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
from copy_support import KINDS
from support import Nightread

from jobs.phantoms.archive import draw, plan_archive, write_archive
from jobs.phantoms.dicom import film_of
from jobs.sources.source import open_source
from workers.duplicates import Archive, Reader, Telling

pytestmark = pytest.mark.processes

COPIED = {
    "jpeg.jpg": "JPEG, quality 40 to 95",
    "small.png": "resized to 0.25 to 0.9",
    "bright.png": "brightness and contrast, clipped",
    "cropped.png": "cropped by up to 4% of each side",
    "negative.png": "inverted",
}


@dataclass(frozen=True)
class Drawn:
    """An archive of phantoms, and one of copies: name -> the name of what it is a copy of."""

    folder: Path
    copies: Path
    of: dict[str, str]

    @property
    def manifest(self) -> Path:
        return self.folder / "manifest.csv"

    @property
    def copied(self) -> Path:
        return self.copies / "manifest.csv"

    @property
    def against(self) -> list[str | Path]:
        images = ("--images", self.folder / "images")
        return [*images, "--against", self.copied, "--against-images", self.copies / "images"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    folder, copies = (tmp_path_factory.mktemp(name) for name in ("films", "copies"))
    plan = plan_archive(16, seed=3)
    write_archive(folder, plan)
    (copies / "images").mkdir()
    of = {}
    for number, (name, kind) in enumerate(COPIED.items()):
        changed = KINDS[kind](draw(plan[number]), np.random.default_rng(number))
        cv2.imwrite(str(copies / "images" / name), changed)
        of[name] = plan[number].image_index
    # An even number: the file's own greys; an odd one's is a negative, MONOCHROME1. Both show the same.
    for number, patient in ((5, 2), (6, 3)):
        content = film_of(
            draw(plan[number]), patient_id=patient, follow_up=0, sex="F", age_years=50, view="PA"
        )
        (copies / "images" / f"film-{patient}.dcm").write_bytes(content)
        of[f"film-{patient}.dcm"] = plan[number].image_index
    same = (folder / "images" / plan[7].image_index).read_bytes()
    (copies / "images" / "same.png").write_bytes(same)
    of["same.png"] = plan[7].image_index
    stranger = draw(plan_archive(4, seed=99)[0])
    cv2.imwrite(str(copies / "images" / "stranger.png"), stranger)
    (copies / "images" / "broken.png").write_bytes(same[:4000])
    names = [*of, "stranger.png", "broken.png"]
    rows = "".join(
        f"{name},{90 + number},{number % 2},{number // 2 % 2}\n" for number, name in enumerate(names)
    )
    (copies / "manifest.csv").write_text("Image,Patient ID,Cardiomegaly,Effusion\n" + rows)
    return Drawn(folder, copies, of)


def digest(folder: Path) -> str:
    return hashlib.sha256(
        b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
    ).hexdigest()


def test_each_kind_of_copy_is_found_and_nothing_else(nightread: Nightread, drawn: Drawn) -> None:
    before = digest(drawn.folder) + digest(drawn.copies)
    done = nightread.call("duplicates", drawn.manifest, *drawn.against, "--json")
    assert done.returncode == 0, done.stderr
    pairs = json.loads(done.stdout)
    assert {pair["other_image"]: pair["image"] for pair in pairs} == drawn.of
    kinds = {pair["other_image"]: pair["kind"] for pair in pairs}
    assert {name for name, kind in kinds.items() if kind == "same picture"} == {"film-2.dcm", "film-3.dcm"}
    assert {name for name, kind in kinds.items() if kind == "same bytes"} == {"same.png"}
    assert {pair["other_image"] for pair in pairs if pair["correlation"] < 0} == {"negative.png"}
    assert {pair["patients"] for pair in pairs} == {"different"}
    assert "images that cannot be read: 1, the first: broken.png" in done.stderr
    assert digest(drawn.folder) + digest(drawn.copies) == before


def test_an_archive_of_different_films_has_no_duplicates(nightread: Nightread, drawn: Drawn) -> None:
    done = nightread.call("duplicates", drawn.manifest, "--images", drawn.folder / "images")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "16 images; no film is there twice\n"


def test_a_table_has_all_pairs_and_the_summary_counts_them(
    nightread: Nightread, drawn: Drawn, tmp_path: Path
) -> None:
    output = tmp_path / "pairs.csv"
    done = nightread.call("duplicates", drawn.manifest, *drawn.against, "-o", output)
    assert done.returncode == 0, done.stderr
    with output.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["other_image"]: row["image"] for row in rows} == drawn.of
    assert f"wrote {output}: {len(drawn.of)} pairs" in done.stdout
    copied = len(drawn.of)
    summary = f"25 images; {copied} of the second are in the first; pairs of two patients by the manifest: "
    assert f"{summary}{len(drawn.of)}\n" in done.stdout


def test_a_run_is_compared_by_its_number(nightread: Nightread, drawn: Drawn) -> None:
    run = submitted(nightread, drawn)
    found = nightread.call("duplicates", str(run))
    assert found.returncode == 0, found.stderr
    assert "16 images; no film is there twice" in found.stdout
    both = nightread.call("duplicates", str(run), "--against", str(run), "--json")
    pairs = json.loads(both.stdout)
    assert len(pairs) == 16
    assert all(pair["image"] == pair["other_image"] and pair["patients"] == "same" for pair in pairs)


def submitted(nightread: Nightread, drawn: Drawn) -> int:
    done = nightread.call(
        *("submit", drawn.manifest, "--images", drawn.folder / "images", "--model", "demo", "--json")
    )
    assert done.returncode == 0, done.stderr
    run_id: int = json.loads(done.stdout)["run_id"]
    return run_id


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("manifest.csv",), "give the folder of its images with --images"),
        (("1", "--against-images", "x"), "--against-images"),
        (("1", "-o", "x.txt"), "must end in .csv"),
        (("1", "-o", "x.csv", "--json"), "--json prints"),
        (("1", "-o", "gone/x.csv"), "there is no folder gone"),
        (("1",), "there are no runs yet"),
    ],
)
def test_what_is_not_right_is_said(
    nightread: Nightread, drawn: Drawn, arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(drawn.folder)
    done = nightread.call("duplicates", *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def test_training_refuses_films_in_both_splits(nightread: Nightread, drawn: Drawn) -> None:
    order: list[str | Path] = [
        *("train", drawn.manifest, "--images", drawn.folder / "images", "--valid", drawn.copied),
        *("--valid-images", drawn.copies / "images", "--name", "mine", "--from", "nowhere"),
        *("--findings", "Cardiomegaly,Effusion"),
    ]
    refused = nightread.call(*order)
    assert refused.returncode == 2
    told = f"films in both splits: {len(drawn.of)} of {len(drawn.of) + 2} validation images"
    assert told in refused.stdout
    assert "--allow-leakage" in refused.stderr
    # The model to start from is looked for next, and is not there: nothing is trained here.
    insisted = nightread.call(*order, "--allow-leakage")
    assert (
        f"films in both splits: {len(drawn.of)} of {len(drawn.of) + 2} validation images" in insisted.stdout
    )
    assert "there is no model 'nowhere'" in insisted.stderr


def test_of_3144_real_radiographs_those_with_the_same_bytes_are_found_and_no_others(real_data: Path) -> None:
    """The children's pictures have eleven files twice; two films of one patient are no copies."""
    names = [*real_data.glob("nih/images/*"), *real_data.glob("pneumonia/images/*/*")]
    by_content: dict[str, list[str]] = {}
    for path in sorted(names):
        found = by_content.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), [])
        found.append(str(path.relative_to(real_data)))
    expected = {pair for same in by_content.values() for pair in combinations(same, 2)}
    archive = Archive(
        open_source(real_data), [str(path.relative_to(real_data)) for path in names], [None] * len(names)
    )
    with Reader(64_000_000, 2) as reader:
        pairs = reader.find(archive, None, Telling(lambda _d, _n: None, lambda _d, _n: None)).pairs
    assert {tuple(sorted((pair.image, pair.other_image))) for pair in pairs} == expected
    assert {pair.kind for pair in pairs} == {"same bytes"}
