"""BRAX holds each image as PNG and as DICOM."""

from pathlib import Path

from miniatures import BRAX

from jobs.tables.manifest import Manifest


def test_the_dicom_files_are_taken_where_they_are_what_is_there(tmp_path: Path) -> None:
    path = BRAX.write(tmp_path / "tables")
    (tmp_path / "Anonymized_DICOMs/id_1").mkdir(parents=True)
    (tmp_path / "Anonymized_DICOMs/id_1/a.dcm").write_bytes(b"x")
    names = [row.image_index for row in Manifest(path, root=str(tmp_path))]
    assert names == ["Anonymized_DICOMs/id_1/a.dcm", "Anonymized_DICOMs/id_2/b.dcm"]
