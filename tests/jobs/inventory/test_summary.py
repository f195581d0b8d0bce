"""What is said of an inventory adds up."""

from pathlib import Path

from jobs.inventory.film import Film
from jobs.inventory.inventory import Inventory
from jobs.inventory.skips import Skip, Skipped
from jobs.inventory.summary import summary_lines, warning_lines


def test_files_are_counted_by_view_and_reason(tmp_path: Path) -> None:
    films = [Film("a", "DICOM", view="PA"), Film("b", "DICOM", view="PA"), Film("c", "PNG")]
    skipped = [
        Skipped("d", Skip.OTHER_MODALITY, "CT"),
        Skipped("e", Skip.OTHER_MODALITY, "CT"),
        Skipped("f", Skip.OTHER_MODALITY),
        Skipped("g", Skip.LATERAL, "DX"),
    ]
    inventory = Inventory(str(tmp_path), films, skipped, alike=2)
    assert summary_lines(inventory) == [
        "7 files found: 3 kept, 4 skipped",
        "kept: 2 PA, 1 of unknown view",
        "skipped: 3 other_modality (2 CT, 1 unknown), 1 lateral",
    ]
    previews, alike = warning_lines(inventory)
    assert previews.startswith("1 PNG or JPEG files lie among DICOM files")
    assert alike.startswith("2 films share their SOP Instance UID")


def test_films_with_text_in_their_pixels_are_counted(tmp_path: Path) -> None:
    films = [Film(name, "DICOM", burned_in=said) for name, said in (("a", "YES"), ("b", "NO"), ("c", ""))]
    (said,) = warning_lines(Inventory(str(tmp_path), films, []))
    assert said.startswith("1 films say that text is burned into their pixels")


def test_an_ordinary_archive_has_no_warning(tmp_path: Path) -> None:
    assert not [*warning_lines(Inventory(str(tmp_path), [Film("c", "PNG")], []))]
