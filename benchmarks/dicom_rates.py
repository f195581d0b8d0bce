"""How long a DICOM film takes to read and prepare in each transfer syntax, compared with a 1024 x 1024 PNG.

`python benchmarks/dicom_rates.py [--repeats 15]`; with NIGHTREAD_REAL_DATA the PNG is a real radiograph,
and the film a real one of 1955 x 1841 pixels and 15 bits, else both are drawn. One thread; files take turns.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from dicom_support import compressed, film, run_lengths  # noqa: E402

from config.cards.classification import Preprocessing  # noqa: E402
from jobs.phantoms.archive import draw, plan_archive  # noqa: E402
from workers.inference.formats.decode import decode  # noqa: E402
from workers.inference.pixels import prepare  # noqa: E402

CARD = Preprocessing(size=320, channels=3, resize="bilinear", factor=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
LIMIT = 2**26

Encode = Callable[[NDArray[np.uint16]], bytes | bytearray]

ENCODERS: dict[str, tuple[UID, Encode]] = {
    "RLE": (RLELossless, lambda pixels: run_lengths(pixels.astype(">u2")[..., None].view(np.uint8))),
    "JPEG extended, 12 bits": (
        JPEGExtended12Bit,
        lambda pixels: imagecodecs.jpeg8_encode(pixels >> 3, bitspersample=12, level=95),
    ),
    "JPEG lossless": (
        JPEGLosslessSV1,
        lambda pixels: imagecodecs.jpeg8_encode(pixels, bitspersample=16, lossless=True),
    ),
    "JPEG-LS": (JPEGLSLossless, imagecodecs.jpegls_encode),
    "HTJ2K": (HTJ2KLossless, imagecodecs.htj2k_encode),
    "JPEG 2000": (
        JPEG2000Lossless,
        lambda pixels: imagecodecs.jpeg2k_encode(pixels, level=0, codecformat="j2k"),
    ),
}


def drawn() -> tuple[bytes, NDArray[np.uint16]]:
    """Draw a PNG of 1024 x 1024, and a film of three times as many pixels, with noise in its low bits."""
    chest = draw(plan_archive(4, seed=3)[0])
    large = cv2.resize(chest, (1841, 1955), interpolation=cv2.INTER_CUBIC).astype(np.uint16) << 7
    noise = np.random.default_rng(1).integers(0, 128, large.shape, dtype=np.uint16)
    return cv2.imencode(".png", chest)[1].tobytes(), np.asarray(large + noise, dtype=np.uint16)


def real(folder: Path) -> tuple[bytes, NDArray[np.uint16]]:
    """Take a real PNG and a real film."""
    image = min((folder / "nih" / "images").glob("*.png"))
    name = folder / "dicom" / "chest_monochrome1_15bit_jpeg2000.dcm"
    return image.read_bytes(), dcmread(name).pixel_array


def films(pixels: NDArray[np.uint16]) -> dict[str, bytes]:
    """Store a film of 15 bits in each transfer syntax."""
    facts: dict[str, Any] = {"BitsStored": 15, "HighBit": 14, "WindowCenter": 15_000, "WindowWidth": 30_000}
    size: dict[str, Any] = {"Rows": pixels.shape[0], "Columns": pixels.shape[1], "BitsAllocated": 16}
    plain = {
        "uncompressed": film(pixels, ExplicitVRLittleEndian, **facts),
        "big endian": film(pixels, ExplicitVRBigEndian, **facts),
        "deflated": film(pixels, DeflatedExplicitVRLittleEndian, **facts),
    }
    return plain | {
        name: compressed(bytes(encode(pixels)), syntax, **facts, **size)
        for name, (syntax, encode) in ENCODERS.items()
    }


def main() -> None:
    """Read each file in turn, and print the median time of each and its ratio to the PNG's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    repeats: int = parser.parse_args().repeats
    cv2.setNumThreads(1)
    folder = os.environ.get("NIGHTREAD_REAL_DATA")
    png, pixels = real(Path(folder)) if folder else drawn()
    files = {"PNG of 1024 x 1024": png} | films(pixels)
    seconds: dict[str, list[float]] = {name: [] for name in files}
    for _ in range(repeats + 1):
        for name, content in files.items():
            start = time.perf_counter()
            prepare(decode(content, LIMIT), CARD)
            seconds[name].append(time.perf_counter() - start)
    of_png = median(seconds["PNG of 1024 x 1024"][1:])
    print(f"film of {pixels.shape[1]} x {pixels.shape[0]} pixels, 15 bits; {repeats} rounds")
    print("| file | MB | ms | times a PNG of 1024 x 1024 |\n|---|---|---|---|")
    for name, content in files.items():
        taken = median(seconds[name][1:])
        print(f"| {name} | {len(content) / 1e6:.1f} | {1000 * taken:.0f} | {taken / of_png:.1f} |")


if __name__ == "__main__":
    main()
