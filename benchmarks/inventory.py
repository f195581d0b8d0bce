"""How long the manifest of a folder of DICOM files takes, beside reading the same headers with pydicom alone.

The files are forged: small pictures behind headers as long as those of radiographs. Everything is in the page
cache, so that what is measured is the reading and not a disk.
"""

import io
import sys
import tempfile
import time
from pathlib import Path

import pydicom
from bench import CORES, whole_process
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian

PRIVATE_ELEMENTS = 120
NUMBER = "00000000"


def film() -> bytes:
    """Forge a film whose UID and patient end in NUMBER."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = ComputedRadiographyImageStorage, f"1.2.3.1{NUMBER}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", "1.2.3.1"
    dataset.ImageType, dataset.Modality, dataset.ViewPosition = ["DERIVED", "PRIMARY"], "CR", "PA"
    dataset.PatientID, dataset.PatientName = f"MRN{NUMBER}", "FORGED^FILM"
    dataset.PatientAge, dataset.PatientSex, dataset.BodyPartExamined = "060Y", "F", "CHEST"
    dataset.SeriesDescription, dataset.ProtocolName = "Thorax p.a.", "Thorax"
    dataset.PixelSpacing = [0.2, 0.2]
    block = dataset.private_block(0x0019, "FORGED", create=True)
    for number in range(PRIVATE_ELEMENTS):
        block.add_new(number, "LO", f"private {number}")
    dataset.Rows = dataset.Columns = 64
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelData = bytes(64 * 64)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def forge(folder: Path, files: int) -> None:
    """Write an archive of so many files, a hundred per folder."""
    content = film()
    for number in range(files):
        path = folder / f"{number // 100:04d}" / f"IM{number:06d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.replace(NUMBER.encode(), f"{number:08d}".encode()))


def main(files: int) -> None:
    """Measure pydicom alone, then the command with one process and with one per core."""
    with tempfile.TemporaryDirectory(prefix="nightread-bench-") as scratch:
        archive = Path(scratch) / "archive"
        forge(archive, files)
        began = time.perf_counter()
        for path in archive.rglob("IM*"):
            pydicom.dcmread(path, stop_before_pixels=True)
        alone = time.perf_counter() - began
        print(f"pydicom alone, headers only: {files / alone:,.0f} files/s")
        for jobs in dict.fromkeys((1, CORES)):
            output = Path(scratch) / f"{jobs}.csv"
            seconds, megabytes = whole_process(
                *("manifest", archive, "-o", output, "--jobs", str(jobs)), NIGHTREAD_HOME=f"{scratch}/home"
            )
            print(
                f"nightread manifest, {jobs} processes: {seconds:.1f} s, {files / seconds:,.0f} files/s, "
                f"{alone / seconds:.2f} of pydicom alone, {megabytes:.0f} MB"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
