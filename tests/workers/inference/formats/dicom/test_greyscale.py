"""Forged films, one for each rule from stored value to screen: as dcm2pnm shows them, within 1 of 255.

Where Nightread means to show another picture, a test of its own says which, and why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from dicom_support import film
from dicom_tools import ran, require_programs
from numpy.typing import NDArray
from picture_support import LIMIT
from PIL import Image
from pydicom import Dataset

from config.films import Spacing
from workers.inference.formats.decode import decode

Words = NDArray[Any]

RAMP: Final = np.random.default_rng(1).permutation(np.arange(4096, dtype=np.uint16)).reshape(64, 64)
"""All values of 12 bits, in no order."""
TEN: Final = (RAMP // 4).astype(np.uint16)
EIGHT: Final = (RAMP // 16).astype(np.uint8)
SIGNED: Final = (RAMP.astype(np.int16) - 2048).view(np.uint16)
SIGNED_12: Final = (SIGNED & 0x0FFF).astype(np.uint16)


def lut(first: int, bits: int, entries: Sequence[int], *, signed: bool = False, vr: str = "OW") -> Dataset:
    """An item of a sequence of look-up tables: `entries` from the input `first` on, each of so many bits."""
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if signed else "US", [len(entries) % 65536, first, bits])
    if vr == "packed":
        item.add_new("LUTData", "OW", np.asarray(entries, dtype="<u1").tobytes())
    else:
        item.add_new("LUTData", "OW", np.asarray(entries, dtype="<u2").tobytes())
    item.ModalityLUTType = "US"
    return item


def curve(length: int, white: int) -> list[int]:
    """Entries of a table that is not linear: a root, from 0 to `white`."""
    return [round(white * (n / (length - 1)) ** 0.5) for n in range(length)]


@dataclass(frozen=True, slots=True)
class Forged:
    """A film, and the options with which dcm2pnm shows it."""

    pixels: Words
    options: tuple[str, ...]
    attributes: dict[str, Any]


def forged(pixels: Words, options: str, /, **attributes: Any) -> Forged:
    return Forged(pixels, tuple(options.split()), attributes)


def windowed(center: Any, width: Any, pixels: Words = RAMP, /, **attributes: Any) -> Forged:
    return forged(pixels, "+Wi 1", WindowCenter=center, WindowWidth=width, **attributes)


def of_16_bits(**attributes: Any) -> dict[str, Any]:
    return {"BitsStored": 16, "HighBit": 15} | attributes


OVERLAID: Final[dict[str, Any]] = {
    "OverlayRows": 64,
    "OverlayColumns": 64,
    "OverlayType": "G",
    "OverlayOrigin": [1, 1],
    "OverlayBitsAllocated": 16,
    "OverlayBitPosition": 15,
}
SIGNED_FACTS: Final = of_16_bits(PixelRepresentation=1)

FILMS: Final[dict[str, Forged]] = {
    "window, LINEAR by default": windowed(1800, 2500),
    "window, LINEAR": windowed(1800, 2500, VOILUTFunction="LINEAR"),
    "window, LINEAR_EXACT": windowed(1800, 2500, VOILUTFunction="LINEAR_EXACT"),
    "window, SIGMOID": windowed(1800, 2500, VOILUTFunction="SIGMOID"),
    "window of fractions": windowed(1800.5, 2500.25),
    "window beyond all values": windowed(9000, 500),
    "window below all values": windowed(-9000, 500),
    "window of width 1": windowed(2000, 1),
    "window of width 2": windowed(2000, 2),
    "first of several windows": windowed([1000, 3000], [800, 200]),
    "window on 8 bits": windowed(100, 90, EIGHT),
    "no window, 8 bits": forged(EIGHT, "-W"),
    "no window, 12 bits": forged(TEN + np.uint16(300), "+Wm"),
    "empty window": forged(TEN, "+Wm", WindowCenter="", WindowWidth=""),
    "window without a width": forged(TEN, "+Wm", WindowCenter=500),
    "10 bits of data in 16": forged(TEN, "+Wm", **of_16_bits()),
    "rescaled, then a window": windowed(0, 4000, RescaleSlope=2.5, RescaleIntercept=-3000),
    "rescaled by a negative slope": windowed(-1500, 3000, RescaleSlope=-1, RescaleIntercept=100),
    "rescaled without a window": forged(TEN, "+Wm", RescaleSlope=3, RescaleIntercept=-7),
    "modality LUT, then a window": windowed(
        30000, 50000, TEN, ModalityLUTSequence=[lut(0, 16, curve(1024, 65535))]
    ),
    "modality LUT that begins later": windowed(
        30000, 50000, TEN, ModalityLUTSequence=[lut(256, 16, curve(512, 65535))]
    ),
    "VOI LUT of 16 bits": forged(RAMP, "+Wl 1", VOILUTSequence=[lut(0, 16, curve(4096, 65535))]),
    "VOI LUT of 12 bits": forged(RAMP, "+Wl 1", VOILUTSequence=[lut(0, 12, curve(4096, 4095))]),
    "VOI LUT of 8 bits, a word for each": forged(RAMP, "+Wl 1", VOILUTSequence=[lut(0, 8, curve(4096, 255))]),
    "VOI LUT of 8 bits, two in a word": forged(
        RAMP, "+Wl 1", VOILUTSequence=[lut(0, 8, curve(4096, 255), vr="packed")]
    ),
    "VOI LUT that begins later": forged(RAMP, "+Wl 1", VOILUTSequence=[lut(1000, 10, curve(500, 1023))]),
    "VOI LUT that begins at 256": forged(TEN, "+Wl 1", VOILUTSequence=[lut(256, 8, curve(256, 255))]),
    "VOI LUT of 256 entries on 8 bits": forged(EIGHT, "+Wl 1", VOILUTSequence=[lut(0, 8, curve(256, 255))]),
    "VOI LUT of 65,536 entries": forged(
        RAMP * np.uint16(16), "+Wl 1", **of_16_bits(VOILUTSequence=[lut(0, 16, curve(65536, 65535))])
    ),
    "VOI LUT before a window": forged(
        RAMP, "+Wl 1", WindowCenter=100, WindowWidth=20, VOILUTSequence=[lut(0, 12, curve(4096, 4095))]
    ),
    "first of several VOI LUTs": forged(
        RAMP, "+Wl 1", VOILUTSequence=[lut(0, 12, curve(4096, 4095)), lut(0, 12, [0] * 4096)]
    ),
    "VOI LUT on signed values": forged(
        SIGNED, "+Wl 1", **SIGNED_FACTS, VOILUTSequence=[lut(-2048, 12, curve(4096, 4095), signed=True)]
    ),
    "VOI LUT after rescaling": forged(
        TEN, "+Wl 1", RescaleSlope=2, RescaleIntercept=100, VOILUTSequence=[lut(100, 12, curve(2047, 4095))]
    ),
    "signed values": windowed(-200, 3000, SIGNED, **SIGNED_FACTS),
    "two's complement in 12 bits": windowed(-200, 3000, SIGNED_12, PixelRepresentation=1),
    "two's complement in 12 bits, sign extended": windowed(-200, 3000, SIGNED, PixelRepresentation=1),
    "signed values without a window": forged(SIGNED, "+Wm", **SIGNED_FACTS),
    "signed values, rescaled": windowed(
        -900, 5000, SIGNED, **SIGNED_FACTS, RescaleSlope=2, RescaleIntercept=-1000
    ),
    "bits above those stored": windowed(1800, 2500, RAMP | (RAMP << 12).astype(np.uint16)),
    "bits below those stored": windowed(1800, 2500, (RAMP << 4).astype(np.uint16), HighBit=15),
    "overlay in an unused bit": windowed(
        1800,
        2500,
        RAMP | np.where(RAMP % 3 == 0, np.uint16(0x8000), np.uint16(0)),
        **OVERLAID,
    ),
    "MONOCHROME1": windowed(1800, 2500, PhotometricInterpretation="MONOCHROME1"),
    "MONOCHROME1, 8 bits": forged(EIGHT, "-W", PhotometricInterpretation="MONOCHROME1"),
    "MONOCHROME1 without a window": forged(TEN, "+Wm", PhotometricInterpretation="MONOCHROME1"),
    "MONOCHROME1 and INVERSE": windowed(
        1800, 2500, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE"
    ),
    "MONOCHROME1, SIGMOID": windowed(
        1800, 2500, PhotometricInterpretation="MONOCHROME1", VOILUTFunction="SIGMOID"
    ),
    "MONOCHROME1, VOI LUT": forged(
        RAMP,
        "+Wl 1",
        PhotometricInterpretation="MONOCHROME1",
        VOILUTSequence=[lut(0, 12, curve(4096, 4095))],
    ),
    "MONOCHROME2 and INVERSE": windowed(1800, 2500, PresentationLUTShape="INVERSE"),
    "MONOCHROME2 and IDENTITY": windowed(1800, 2500, PresentationLUTShape="IDENTITY"),
}


def shown_by_dcmtk(path: Path, options: Sequence[str]) -> NDArray[np.float64]:
    """What dcm2pnm makes of a file, overlays aside: (rows, columns), 0-255."""
    target = path.with_suffix(".pgm")
    ran("dcm2pnm", "-O", *options, path, target)
    with Image.open(target) as picture:
        return np.asarray(picture, dtype=np.float64)


def both(made: Forged, folder: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What Nightread and dcm2pnm make of a film."""
    require_programs()
    path = folder / "film.dcm"
    path.write_bytes(film(made.pixels, **made.attributes))
    shown = decode(path.read_bytes(), LIMIT).values.astype(np.float64).round()
    return shown, shown_by_dcmtk(path, made.options)


@pytest.mark.parametrize("name", FILMS)
def test_a_film_is_as_bright_as_dcmtk_shows_it(name: str, tmp_path: Path) -> None:
    shown, expected = both(FILMS[name], tmp_path)
    assert np.abs(shown - expected).max() <= 1
    assert len(np.unique(expected)) > 1 or "beyond" in name or "below all" in name


def test_overlays_are_not_drawn_as_a_network_saw_none(tmp_path: Path) -> None:
    marked = RAMP | np.where(RAMP % 3 == 0, np.uint16(0x8000), np.uint16(0))
    facts = {"WindowCenter": 1800, "WindowWidth": 2500}
    shown, burnt_in = both(forged(marked, "+Wi 1 +O 1", **facts, **OVERLAID), tmp_path)
    plain, _ = both(forged(RAMP, "+Wi 1", **facts), tmp_path)
    assert np.array_equal(shown, plain)
    assert np.abs(shown - burnt_in).max() > 100


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_no_film_so_it_takes_no_part_and_is_black(photometric: str, tmp_path: Path) -> None:
    padded, facts = TEN + np.uint16(100), {"PhotometricInterpretation": photometric}
    padded[:8] = 4095
    shown, stretched_to_padding = both(forged(padded, "+Wm", **facts, PixelPaddingValue=4095), tmp_path)
    _, of_the_film = both(forged(padded[8:], "+Wm", **facts), tmp_path)
    assert not shown[:8].any()
    assert np.abs(shown[8:] - of_the_film).max() <= 1
    assert np.abs(shown - stretched_to_padding).max() > 100


def test_a_window_of_width_0_is_none_where_dcmtk_shows_what_it_can(tmp_path: Path) -> None:
    shown, _ = both(forged(TEN, "-W", WindowCenter=500, WindowWidth=0), tmp_path)
    _, without_a_window = both(forged(TEN, "+Wm"), tmp_path)
    assert np.abs(shown - without_a_window).max() <= 1
    # dcm2pnm takes the whole range of 12 bits instead, in which 10 bits of data are nearly black.
    assert shown.max() == 255


def test_a_table_begins_where_its_descriptor_says_and_goes_on_with_its_ends() -> None:
    """PS3.3 C.11.2.1.1: below the first input mapped its first entry counts, above the last its last."""
    inputs = np.array([[0, 255, 256, 257, 510, 511, 512, 1023]], dtype=np.uint16)
    entries = list(range(10, 266 - 10)) + [250] * 10
    shown = decode(film(inputs, VOILUTSequence=[lut(256, 8, entries)]), LIMIT).values
    assert shown.round().tolist() == [[10, 10, 10, 11, 250, 250, 250, 250]]


@pytest.mark.parametrize(
    ("pixels", "attributes", "greyscale"),
    [
        (TEN, {"WindowCenter": 500, "WindowWidth": 900}, "window"),
        (TEN, {"VOILUTSequence": [lut(0, 8, curve(256, 255))]}, "voi_lut"),
        (TEN, {}, "no_window"),
        (TEN, {"WindowCenter": "", "WindowWidth": ""}, "no_window"),
        (TEN, {"WindowCenter": 500, "WindowWidth": 0}, "bad_window"),
        (TEN, {"WindowCenter": 500}, "bad_window"),
        (EIGHT, {}, "as_stored"),
        (EIGHT, {"WindowCenter": 500, "WindowWidth": 0}, "bad_window"),
    ],
)
def test_a_picture_says_what_made_greys_of_its_values(
    pixels: Words, attributes: dict[str, Any], greyscale: str
) -> None:
    read = decode(film(pixels, **attributes), LIMIT).film
    assert read is not None
    assert (read.greyscale, read.padded, read.spacing) == (greyscale, False, None)


def test_padding_is_said_where_a_pixel_has_it() -> None:
    for value, padded in ((3, True), (1024, False)):
        read = decode(film(TEN, PixelPaddingValue=value), LIMIT).film
        assert read is not None
        assert read.padded is padded


@pytest.mark.parametrize(
    ("attributes", "spacing"),
    [
        ({"PixelSpacing": [0.2, 0.1]}, Spacing(0.2, 0.1, "PixelSpacing")),
        ({"ImagerPixelSpacing": [0.2, 0.1]}, Spacing(0.2, 0.1, "ImagerPixelSpacing")),
        (
            {"PixelSpacing": [0.2, 0.1], "ImagerPixelSpacing": [0.3, 0.3]},
            Spacing(0.2, 0.1, "PixelSpacing"),
        ),
        ({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.3, 0.3]}, Spacing(0.3, 0.3, "ImagerPixelSpacing")),
        ({"PixelSpacing": [0.2]}, None),
        ({"PixelSpacing": ""}, None),
        ({}, None),
    ],
)
def test_the_distance_of_pixels_is_read_where_it_is_one(
    attributes: dict[str, Any], spacing: Spacing | None
) -> None:
    read = decode(film(TEN, **attributes), LIMIT).film
    assert read is not None
    assert read.spacing == spacing
