"""The two tables: one that `score` takes as it is, and one with every other file."""

import csv
import io
from pathlib import Path

from films import PATIENT, write_film

from config.findings import FINDINGS
from jobs.inventory.inventory import Choice, Inventory, take_inventory
from jobs.inventory.skips import Skip, Skipped
from jobs.inventory.tables import manifest_csv, skipped_csv
from jobs.tables.manifest import Manifest
from jobs.tables.reading import reading_lines


def test_a_manifest_is_read_back_as_it_was_meant(tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    names = ['with "quotes", and commas.dcm', "=1+1", "ü/ß", "plain.dcm"]
    for name in names:
        write_film(archive / name, PatientAge="011M")
    path = tmp_path / "manifest.csv"
    path.write_bytes(manifest_csv(take_inventory(archive, Choice())))
    manifest = Manifest(path, findings=FINDINGS, root=str(archive))
    rows = list(manifest)
    assert sorted(row.image_index for row in rows) == sorted(names)
    assert {row.patient_id for row in rows} == {PATIENT["PatientID"]}
    assert {(row.view_position, row.sex, round(row.age_years or 0, 3)) for row in rows} == {
        ("PA", "F", 0.917)
    }
    assert not manifest.labelled
    # Its other columns are no surprise that a person has to be told of.
    assert not manifest.reading.unused
    assert reading_lines(path, manifest.reading)[0].startswith(
        "manifest.csv, read as the manifest of a folder"
    )


def test_each_skipped_file_is_one_line_whatever_its_name(tmp_path: Path) -> None:
    files = [
        Skipped("a\nb", Skip.BAD_NAME),
        Skipped("\udcff.dcm", Skip.LINK),
        Skipped("ü, ß", Skip.OTHER_MODALITY, "CT"),
    ]
    content = skipped_csv(Inventory(str(tmp_path), [], files)).decode()
    assert list(csv.reader(io.StringIO(content))) == [
        ["File", "Reason", "Modality"],
        ["a\\nb", "bad_name", ""],
        ["\\udcff.dcm", "link", ""],
        ["ü, ß", "other_modality", "CT"],
    ]
