"""Headers are read in every syntax; whatever a file claims costs little memory, little time and no word."""

import io
import resource
import struct
import time
import zlib
from collections.abc import Callable

import pytest
from films import PATIENT, film_of
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from jobs.inventory.header import Header, HeaderError, read_header


def read(content: bytes) -> Header:
    return read_header(io.BytesIO(content))


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
)
def test_a_header_is_read_in_each_syntax(syntax: UID) -> None:
    header = read(film_of(syntax, ImageType=["ORIGINAL", "PRIMARY "], NumberOfFrames="1"))
    assert header.transfer_syntax == syntax
    assert header.texts("ImageType") == ["ORIGINAL", "PRIMARY"]
    assert (header.word("PatientID"), header.number("Rows")) == (PATIENT["PatientID"], 16)
    assert header.number("NumberOfFrames") == 1
    assert PATIENT["PatientName"] not in str(header)  # not read at all
    assert PATIENT["AccessionNumber"] not in str(header)


def test_an_element_that_cannot_be_understood_counts_as_absent() -> None:
    content = film_of(NumberOfFrames="77").replace(b"77", b"1A")
    header = read(content)
    assert header.number("NumberOfFrames") is None
    assert header.number("Rows") == 16


def test_a_patients_identifier_is_read_in_its_character_set() -> None:
    header = read(film_of(SpecificCharacterSet="ISO_IR 100", PatientID="Mü-1"))
    assert header.texts("PatientID") == ["Mü-1"]


# --- files that harm a reader

META = film_of()[: film_of().index(struct.pack("<HH", 8, 0x16))]


def element(group: int, number: int, vr: bytes, length: int, value: bytes = b"") -> bytes:
    return struct.pack("<HH2sHL", group, number, vr, 0, length) + value


def nested(depth: int) -> bytes:
    opening = element(8, 0x1115, b"SQ", 0xFFFFFFFF) + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
    return META + opening * depth


def bomb(megabytes: int) -> bytes:
    packer = zlib.compressobj(1, wbits=-zlib.MAX_WBITS)
    block = bytes(1 << 20)
    body = b"".join(packer.compress(block) for _ in range(megabytes)) + packer.flush()
    film = film_of(DeflatedExplicitVRLittleEndian)
    return film[: 144 + int.from_bytes(film[140:144], "little")] + body


HARMFUL: dict[str, Callable[[], bytes]] = {
    "a length of 4 GB": lambda: META + element(0x10, 0x20, b"OB", 0xFFFFFF00, b"x" * (1 << 21)),
    "a length beyond the file in its meta group": lambda: film_of()[:132] + element(2, 2, b"OB", 0xFFFFFF00),
    "an element without an end": lambda: META + element(9, 0x10, b"OB", 0xFFFFFFFF, bytes(1 << 25)),
    "100,000 levels": lambda: nested(100_000),
    "a million elements": lambda: META + struct.pack("<HH2sH", 9, 0x10, b"LO", 0) * 1_000_000,
    "a sequence of a million elements": lambda: (
        META + element(8, 0x1115, b"SQ", 0xFFFFFFFF)
        + struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF)
        + struct.pack("<HH2sH", 8, 0x10, b"LO", 0) * 1_000_000
    ),
    "600 MB of nothing, deflated": lambda: bomb(600),
    "a deflated stream that is none": lambda: bomb(1)[:400] + b"\xff" * 400,
    "nothing behind its magic": lambda: film_of()[:132],
}  # fmt: skip


def rows_of(content: bytes) -> int | None:
    try:
        return read(content).number("Rows")
    except HeaderError:
        return None


def test_an_error_quotes_nothing_of_the_file() -> None:
    with pytest.raises(HeaderError) as caught:
        read(nested(100_000))
    assert not caught.value.args
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("kind", HARMFUL)
def test_a_file_that_harms_a_reader_is_refused_in_bounded_time_and_memory(kind: str) -> None:
    content = HARMFUL[kind]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.process_time()
    rows = rows_of(content)
    assert rows is None
    assert time.process_time() - began < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_a_long_list_of_numbers_costs_a_bounded_time() -> None:
    content = META + element(0x28, 0x30, b"UN", 1_000_000, b"0.1\\" * 250_000)
    began = time.process_time()
    assert read(content).texts("PixelSpacing") == []
    assert time.process_time() - began < 1


def test_a_long_list_of_codes_costs_a_bounded_time() -> None:
    item = struct.pack("<HHL", 0xFFFE, 0xE000, 0)
    content = META + element(0x54, 0x220, b"SQ", 8 * 120_000, item * 120_000)
    began = time.process_time()
    assert not read(content).view_codes
    assert time.process_time() - began < 1


@pytest.mark.parametrize("cut", range(140, len(film_of()), 37))
def test_a_cut_header_never_raises_anything_else(cut: int) -> None:
    try:
        header = read(film_of()[:cut])
    except HeaderError:
        return
    assert header.texts("Rows") in ([], ["16"])
