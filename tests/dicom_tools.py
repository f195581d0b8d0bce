"""Other programs that write and show DICOM files: dcmtk's and GDCM's; without them, tests are skipped."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    JPEGExtended12Bit,
    JPEGLSLossless,
)

Rewrite = Callable[[Path, Path], None]
"""Writes a film, the first file, anew into the second."""

PROGRAMS = ("dcmconv", "dcmcjpeg", "dcmcjpls", "dcmcrle", "dcm2pnm", "gdcmconv")


def require_programs() -> None:
    """Skip a test where one of the programs is not installed."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not there: apt-get install dcmtk libgdcm-tools")


def ran(*command: str | Path) -> None:
    """Run a program; what it says of a file in a test is in the error."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}{done.stdout}"


def encoded(syntax: UID, encode: Callable[[NDArray[Any]], bytes | bytearray], fragments: int = 1) -> Rewrite:
    """Give the function that writes a film anew, its frame encoded by a function of imagecodecs."""

    def write(source: Path, target: Path) -> None:
        dataset = dcmread(source)
        dataset.PixelData = encapsulate([bytes(encode(dataset.pixel_array))], fragments_per_frame=fragments)
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(target)

    return write


def command(*words: str) -> Rewrite:
    """Give the function that writes a film anew with a program."""
    return lambda source, target: ran(*words, source, target)


LOSSLESS: dict[str, Rewrite] = {
    "implicit little endian": command("dcmconv", "+ti"),
    "explicit little endian": command("dcmconv", "+te"),
    "big endian": command("dcmconv", "+tb"),
    "deflated": command("dcmconv", "+td"),
    "RLE of dcmtk": command("dcmcrle"),
    "RLE of GDCM": command("gdcmconv", "--rle"),
    "JPEG lossless SV1 of dcmtk": command("dcmcjpeg", "+e1"),
    "JPEG lossless SV1 of GDCM": command("gdcmconv", "--jpeg"),
    **{f"JPEG lossless {n}": command("dcmcjpeg", "+el", "+sv", str(n)) for n in range(2, 8)},
    "JPEG-LS of dcmtk": command("dcmcjpls", "+el"),
    "JPEG-LS of GDCM": command("gdcmconv", "--jpegls"),
    "JPEG-LS in fragments": encoded(JPEGLSLossless, imagecodecs.jpegls_encode, fragments=7),
    "JPEG 2000 of GDCM": command("gdcmconv", "--j2k"),
    "HTJ2K": encoded(HTJ2KLossless, imagecodecs.htj2k_encode),
}
"""What writes a film anew without loss, by what it becomes."""

LOSSY: dict[str, Rewrite] = {
    "JPEG extended": command("dcmcjpeg", "+ee", "+q", "100"),
    "JPEG-LS near-lossless": command("dcmcjpls", "+en", "+md", "2"),
    "JPEG 2000 lossy": encoded(
        JPEG2000, lambda pixels: imagecodecs.jpeg2k_encode(pixels, level=75, codecformat="j2k")
    ),
    "HTJ2K lossy": encoded(
        HTJ2K, lambda pixels: imagecodecs.htj2k_encode(pixels, level=0.0002, reversible=False)
    ),
}
"""What writes a film anew with a small loss."""

# dcmcjpeg stretches bytes to their range before it compresses them, which is another picture.
LOSSY_OF_BYTES: dict[str, Rewrite] = {
    "JPEG baseline": command("gdcmconv", "--jpeg", "--lossy", "-q", "95"),
    "JPEG extended": encoded(JPEGExtended12Bit, lambda pixels: imagecodecs.jpeg8_encode(pixels, level=95)),
}
"""The same for a film of 8 bits."""
