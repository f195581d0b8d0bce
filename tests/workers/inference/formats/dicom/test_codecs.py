"""One film in every transfer syntax: without loss it is the same film, and cut or mislabelled it is none."""

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from dicom_support import TWELVE, compressed, film, run_lengths
from dicom_tools import LOSSLESS, LOSSY, LOSSY_OF_BYTES, Rewrite, ran, require_programs
from numpy.typing import NDArray
from picture_support import COLOUR, GREY, LIMIT, reason_of, values
from pydicom import dcmread
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)
from support import ROOT

from config.cards.model import Classifier
from jobs.phantoms.archive import draw, plan_archive
from workers.inference.engine import Engine
from workers.inference.formats.decode import decode
from workers.inference.formats.dicom.codecs import CODECS
from workers.inference.formats.picture import Picture
from workers.inference.pixels import prepare

Rewritten = Callable[[Rewrite], Picture]
Encode = Callable[[NDArray[Any]], bytes | bytearray]
Scores = Callable[[Picture], NDArray[np.float32]]


@pytest.fixture(scope="module")
def phantom() -> NDArray[np.uint16]:
    """A drawn chest of 12 bits, 509 x 512, all of whose bits are used."""
    eight = draw(plan_archive(4, seed=3)[0])[1:1018:2, ::2]
    low = np.random.default_rng(1).integers(0, 16, eight.shape)
    return (eight.astype(np.uint16) * 16 + low).astype(np.uint16)


def rewriter(pixels: NDArray[Any], folder: Path, **attributes: Any) -> Rewritten:
    """Give the function that writes a film anew, and reads that."""
    require_programs()
    source, target = folder / "film.dcm", folder / "rewritten.dcm"
    source.write_bytes(film(pixels, **attributes))

    def rewritten(rewrite: Rewrite) -> Picture:
        rewrite(source, target)
        return decode(target.read_bytes(), LIMIT)

    return rewritten


@pytest.fixture
def deep(phantom: NDArray[np.uint16], tmp_path: Path) -> Rewritten:
    return rewriter(phantom, tmp_path, WindowCenter=2000, WindowWidth=3000)


@pytest.fixture(scope="module")
def scores(demo: Classifier, demo_engine: Engine) -> Scores:
    """What the shipped model says of a picture."""
    return lambda picture: demo_engine.infer(prepare(picture, demo.card.pixels)[None]).probabilities[0]


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_without_loss_a_film_has_the_same_pixels(syntax: str, deep: Rewritten, tmp_path: Path) -> None:
    again = deep(LOSSLESS[syntax]).values
    original = values((tmp_path / "film.dcm").read_bytes())
    assert original.min() < 20
    assert original.max() > 235
    assert np.array_equal(again, original)
    assert again.dtype == original.dtype


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_without_loss_a_film_of_bytes_has_the_same_pixels(
    syntax: str, phantom: NDArray[np.uint16], tmp_path: Path
) -> None:
    eight = (phantom >> 4).astype(np.uint8)
    assert np.array_equal(rewriter(eight, tmp_path)(LOSSLESS[syntax]).values, eight)


# What writes JPEG here refuses signed values, or changes them.
@pytest.mark.parametrize(
    "syntax", [syntax for syntax in LOSSLESS if not syntax.startswith(("JPEG lossless", "JPEG-LS"))]
)
def test_without_loss_a_film_of_signed_values_has_the_same_pixels(
    syntax: str, phantom: NDArray[np.uint16], tmp_path: Path
) -> None:
    facts = {
        "PixelRepresentation": 1,
        "WindowCenter": 0,
        "WindowWidth": 3000,
        "BitsStored": 16,
        "HighBit": 15,
    }
    signed = (phantom.astype(np.int16) - 2048).view(np.uint16)
    original = values(film(signed, **facts))
    assert np.array_equal(rewriter(signed, tmp_path, **facts)(LOSSLESS[syntax]).values, original)


def test_every_film_has_one_score_whatever_its_transfer_syntax(scores: Scores, deep: Rewritten) -> None:
    original = scores(deep(LOSSLESS["explicit little endian"]))
    assert original.max() - original.min() > 0.1
    for rewrite in LOSSLESS.values():
        assert np.array_equal(scores(deep(rewrite)), original)
    for rewrite in LOSSY.values():
        assert np.abs(scores(deep(rewrite)) - original).max() < 1e-2


def test_every_film_of_bytes_has_nearly_one_score_with_a_loss(
    scores: Scores, phantom: NDArray[np.uint16], tmp_path: Path
) -> None:
    eight = (phantom >> 4).astype(np.uint8)
    rewritten = rewriter(eight, tmp_path)
    for rewrite in LOSSY_OF_BYTES.values():
        assert np.abs(scores(rewritten(rewrite)) - scores(Picture(eight))).max() < 1e-2


def test_all_transfer_syntaxes_of_the_list_are_written_here(
    phantom: NDArray[np.uint16], tmp_path: Path
) -> None:
    found = set()
    for pixels, rewrites in (
        (phantom, LOSSLESS | LOSSY),
        ((phantom >> 4).astype(np.uint8), LOSSY_OF_BYTES),
    ):
        rewritten = rewriter(pixels, tmp_path)
        for rewrite in rewrites.values():
            rewritten(rewrite)
            found.add(dcmread(tmp_path / "rewritten.dcm").file_meta.TransferSyntaxUID)
    rpcl = UID("1.2.840.10008.1.2.4.202")  # HTJ2K in another order of packets
    assert found == set(CODECS) - {rpcl}


@pytest.mark.parametrize("name", ["chest_monochrome1_10bit_explicit_le", "chest_monochrome1_15bit_jpeg2000"])
def test_real_films_have_the_same_pixels_in_each(name: str, real_data: Path, tmp_path: Path) -> None:
    require_programs()
    source, target = tmp_path / "source.dcm", tmp_path / "rewritten.dcm"
    ran("gdcmconv", "--raw", real_data / "dicom" / f"{name}.dcm", source)
    original = decode(source.read_bytes(), 2**24).values
    assert np.array_equal(decode((real_data / "dicom" / f"{name}.dcm").read_bytes(), 2**24).values, original)
    for rewrite in LOSSLESS.values():
        rewrite(source, target)
        assert np.array_equal(decode(target.read_bytes(), 2**24).values, original)


# --- frames made here, without other programs --------------------------------------------------------------


DEEP = {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}
ENCODED: dict[UID, bytes] = {
    JPEGLosslessSV1: bytes(imagecodecs.ljpeg_encode(TWELVE, bitspersample=12)),
    JPEGExtended12Bit: bytes(imagecodecs.jpeg8_encode(TWELVE, bitspersample=12, level=95)),
    JPEGLSLossless: bytes(imagecodecs.jpegls_encode(TWELVE)),
    JPEG2000Lossless: bytes(imagecodecs.jpeg2k_encode(TWELVE, codecformat="j2k", level=0)),
    HTJ2KLossless: bytes(imagecodecs.htj2k_encode(TWELVE)),
    RLELossless: run_lengths(TWELVE.astype(">u2").reshape(*TWELVE.shape, 1).view(np.uint8)),
}


def stored_as(syntax: UID, frame: bytes | None = None, **attributes: Any) -> bytes:
    return compressed(ENCODED[syntax] if frame is None else frame, syntax, **DEEP | attributes)


@pytest.mark.parametrize("syntax", ENCODED, ids=lambda syntax: syntax.name)
def test_a_compressed_film_is_shown_as_an_uncompressed_one(syntax: UID) -> None:
    difference = np.abs(values(stored_as(syntax)) - values(film(TWELVE)))
    assert difference.max() <= (12 if syntax == JPEGExtended12Bit else 0)


@pytest.mark.parametrize("syntax", ENCODED, ids=lambda syntax: syntax.name)
def test_a_cut_frame_is_truncated_wherever_it_is_cut_and_whatever_is_put_behind(syntax: UID) -> None:
    frame = ENCODED[syntax]
    for cut in range(len(frame) // 2, len(frame) - 8, 3):
        for behind in (b"", b"\0" * (len(frame) - cut)):
            if behind and syntax == RLELossless:
                continue  # zeros are pixels there
            assert reason_of(stored_as(syntax, frame[:cut] + behind)) in {"truncated", "damaged"}


@pytest.mark.parametrize(
    "syntax", [JPEGLosslessSV1, JPEGExtended12Bit, JPEGLSLossless, JPEG2000Lossless, HTJ2KLossless]
)
def test_a_cut_frame_that_somebody_closed_is_seen_too(syntax: UID, phantom: NDArray[np.uint16]) -> None:
    encode: dict[UID, Encode] = {
        JPEGLosslessSV1: lambda pixels: imagecodecs.jpeg8_encode(pixels, bitspersample=12, lossless=True),
        JPEGExtended12Bit: lambda pixels: imagecodecs.jpeg8_encode(pixels, bitspersample=12, level=95),
        JPEGLSLossless: imagecodecs.jpegls_encode,
        JPEG2000Lossless: lambda pixels: imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", level=0),
        HTJ2KLossless: imagecodecs.htj2k_encode,
    }
    frame, size = bytes(encode[syntax](phantom)), {"Rows": phantom.shape[0], "Columns": phantom.shape[1]}
    assert values(stored_as(syntax, frame, **size)).shape == phantom.shape
    for share in (0.3, 0.5, 0.8, 0.95):
        closed = frame[: int(len(frame) * share)] + b"\xff\xd9"
        assert reason_of(stored_as(syntax, closed, **size)) in {"truncated", "damaged"}


@pytest.mark.parametrize("syntax", ENCODED, ids=lambda syntax: syntax.name)
def test_a_frame_of_another_size_than_the_header_says_is_refused(syntax: UID) -> None:
    assert reason_of(stored_as(syntax, Rows=12)) in {"damaged", "truncated"}
    assert reason_of(stored_as(syntax, Rows=14)) in {"damaged", "truncated"}
    assert reason_of(stored_as(syntax, b"\0\0")) in {"damaged", "truncated"}


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless])
def test_compressed_colour_stays_colour(syntax: UID) -> None:
    encode: dict[UID, Encode] = {
        RLELossless: run_lengths,
        JPEGLosslessSV1: lambda pixels: imagecodecs.jpeg8_encode(
            pixels, lossless=True, colorspace="RGB", outcolorspace="RGB"
        ),
        JPEGLSLossless: imagecodecs.jpegls_encode,
        JPEG2000Lossless: lambda pixels: imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", level=0),
    }
    facts: dict[str, Any] = {
        "SamplesPerPixel": 3,
        "PlanarConfiguration": 0,
        "PhotometricInterpretation": "RGB",
    }
    assert np.array_equal(values(compressed(bytes(encode[syntax](COLOUR)), syntax, **facts)), COLOUR)


def test_signed_values_of_a_codestream_without_a_sign_are_those_of_its_own_bits() -> None:
    ten = (TWELVE % 1024).astype(np.uint16)
    facts: dict[str, Any] = {"PixelRepresentation": 1, "WindowCenter": 0, "WindowWidth": 900}
    frame = bytes(imagecodecs.jpeg2k_encode(ten, codecformat="j2k", level=0, bitspersample=10))
    found = values(stored_as(JPEG2000Lossless, frame, **facts))
    assert np.array_equal(found, values(film(ten, **facts, BitsStored=10, HighBit=9)))


# --- what a file may cost ----------------------------------------------------------------------------------


def test_a_deflated_file_is_not_inflated_beyond_the_limit() -> None:
    whole = film(GREY, DeflatedExplicitVRLittleEndian)
    assert np.array_equal(values(whole), GREY)
    bomb = film(
        GREY, DeflatedExplicitVRLittleEndian, ImageComments="x", RedPaletteColorLookupTableData=b"\0" * 2**23
    )
    assert len(bomb) < 2**15
    assert reason_of(bomb) == "too_large"
    assert reason_of(whole[:-40]) == "truncated"


def test_a_uid_in_a_text_makes_no_file_a_deflated_one() -> None:
    named = film(GREY, ImageComments=str(DeflatedExplicitVRLittleEndian))
    assert np.array_equal(values(named), GREY)


def test_a_file_of_countless_elements_or_fragments_is_too_large() -> None:
    start = film(GREY)[: -(13 * 17 + 1 + 12)]
    empty = struct.pack("<HH2sH", 0x0029, 0x1000, b"US", 0) * 300_000
    assert reason_of(start + empty) == "too_large"
    whole = stored_as(RLELossless)
    delimiter = whole.rindex(b"\xfe\xff\xdd\xe0")
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * 300_000
    assert reason_of(whole[:delimiter] + items + whole[delimiter:]) == "too_large"


def test_a_delimiter_within_a_frame_ends_nothing() -> None:
    frame = ENCODED[JPEGLSLossless]
    remark = b"\xff\xe1\x00\x0a\xfe\xff\xdd\xe0\0\0\0\0"
    assert np.array_equal(
        values(stored_as(JPEGLSLossless, frame[:2] + remark + frame[2:])), values(film(TWELVE))
    )


def test_an_offset_table_that_lies_changes_nothing() -> None:
    whole = stored_as(JPEGLSLossless)
    table = whole.index(b"\xfe\xff\x00\xe0")
    assert whole[table + 4] == 4
    assert np.array_equal(
        values(whole[: table + 8] + b"\xf0\xff\xff\x7f" + whole[table + 12 :]), values(whole)
    )


@pytest.mark.processes
def test_neither_a_command_nor_a_reader_of_pngs_loads_what_only_dicom_needs() -> None:
    code = (
        "import sys, workers.inference.formats.decode, workers.commands.main as _; "
        "sys.exit(' '.join({'pydicom', 'imagecodecs'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stderr) == (0, "")
