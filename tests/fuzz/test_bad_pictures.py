"""No bad picture crashes, hangs or fills the memory of a worker, and none that is damaged is scored."""

import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from fuzz.corpus import (
    BROKEN,
    JPEG_MUTATIONS,
    MAX_PIXELS,
    PNG_COSTLY,
    PNG_MUTATIONS,
    SCORED,
    SECONDS_A_READ,
    Night,
    Random,
    Sample,
    built,
    faults,
    film,
    flat_jpeg,
    make_oddities,
    read_in_child,
    samples,
    saved,
    segment,
    taken_apart,
)
from PIL import Image
from support import READ_REASONS

from config.failures import ImageUnusableError
from workers.inference.formats.decode import decode

SEED = 20_170_501
ROUNDS = 3
GROWN_LIMIT = 300_000_000
"""Bytes: about 75 for each of the MAX_PIXELS that a picture of the corpus may have at most."""


@dataclass(frozen=True)
class Read:
    samples: list[Sample]
    oddities: dict[str, str]
    night: Night


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """The whole corpus, read once by one child process."""
    folder = tmp_path_factory.mktemp("corpus")
    real = os.environ.get("NIGHTREAD_REAL_DATA")
    made = list(samples(SEED, ROUNDS, Path(real) if real else None))
    for sample in made:
        (folder / sample.name).write_bytes(sample.content)
    oddities = make_oddities(folder)
    names = [*(sample.name for sample in made), *oddities]
    assert len(names) == len(set(names))
    return Read(made, oddities, read_in_child(folder, names, timeout=240))


@pytest.mark.processes
def test_no_file_of_a_thousand_crashes_or_hangs_the_process_that_reads_it(read: Read) -> None:
    assert read.night.died == ""
    assert len(read.night.readings) == len(read.samples) + len(read.oddities) >= 1000
    assert max(reading.seconds for reading in read.night.readings.values()) < SECONDS_A_READ


@pytest.mark.processes
def test_memory_stays_bounded_whatever_files_claim_to_hold(read: Read) -> None:
    assert 0 < read.night.grown < GROWN_LIMIT


@pytest.mark.processes
def test_every_file_ends_scored_or_failed_with_a_documented_reason(read: Read) -> None:
    of_cards = {"too_small", "no_contrast"}
    of_volumes = {"wrong_shape", "bad_values"}
    outcomes = {reading.outcome for reading in read.night.readings.values()}
    assert outcomes == READ_REASONS - of_cards - of_volumes | {SCORED}
    assert all(
        bool(reading.message) == (reading.outcome != SCORED) for reading in read.night.readings.values()
    )
    assert not [name for name, reading in read.night.readings.items() if "\n" in reading.message]


@pytest.mark.processes
@pytest.mark.parametrize("mutation", [*PNG_MUTATIONS, *PNG_COSTLY])
def test_damaged_png_fails_with_its_reason_and_a_harmless_change_keeps_the_pixels(
    read: Read, mutation: str
) -> None:
    _check(
        read,
        [sample for sample in read.samples if _is(sample, "png", "nih") and f".{mutation}." in sample.name],
    )


@pytest.mark.processes
@pytest.mark.parametrize("mutation", JPEG_MUTATIONS)
def test_cut_jpeg_is_truncated_and_what_no_pixel_depends_on_changes_nothing(
    read: Read, mutation: str
) -> None:
    _check(
        read,
        [
            sample
            for sample in read.samples
            if _is(sample, "jpeg", "pneumonia") and f".{mutation}." in sample.name
        ],
    )


@pytest.mark.processes
def test_every_good_file_is_scored(read: Read) -> None:
    _check(read, [sample for sample in read.samples if sample.name.endswith(".original")])


@pytest.mark.processes
def test_other_formats_and_files_of_two_kinds_are_told_apart(read: Read) -> None:
    _check(
        read,
        [sample for sample in read.samples if sample.name.startswith(("stranger", "flat", "PNG", "JPEG"))],
    )


@pytest.mark.processes
def test_what_is_no_file_is_refused_without_waiting_for_it(read: Read) -> None:
    assert {name: read.night.readings[name].outcome for name in read.oddities} == read.oddities


def _is(sample: Sample, *sources: str) -> bool:
    return sample.name.startswith(tuple(f"{source}-" for source in sources))


def _check(read: Read, chosen: list[Sample]) -> None:
    assert chosen
    readings = read.night.readings
    wrong = [faults(sample, readings[sample.name], readings) for sample in chosen]
    assert [line for line in wrong if line] == []


def test_the_same_seed_makes_the_same_files() -> None:
    assert list(samples(7, 1)) == list(samples(7, 1))


# --- what fuzzing found, each by itself --------------------------------------------------------------------


def reason_of(content: bytes) -> str:
    with pytest.raises(ImageUnusableError) as caught:
        decode(content, MAX_PIXELS)
    return caught.value.reason


PNG = saved(film(Random(1)), "PNG")
JPEG = saved(film(Random(1)), "JPEG", quality=90)


def outcome_of(mutation: str, content: bytes) -> set[str]:
    """Give the reasons of ten mutants."""
    mutate = (PNG_MUTATIONS | JPEG_MUTATIONS)[mutation]
    return {reason_of(mutate(content, Random(seed)).content) for seed in range(10)}


def test_png_whose_writer_stopped_early_is_truncated_though_its_stream_is_closed() -> None:
    assert outcome_of("rows-missing", PNG) == {"truncated"}


def test_png_whose_pixels_lack_their_checksum_is_truncated() -> None:
    assert outcome_of("without-adler", PNG) == {"truncated"}


def test_png_with_more_rows_than_its_header_says_is_damaged() -> None:
    assert outcome_of("rows-too-many", PNG) == {"damaged"}


def test_png_whose_pixel_chunks_changed_places_is_refused_though_each_is_whole() -> None:
    assert outcome_of("pixel-chunks-swapped", PNG) <= BROKEN


def test_png_with_two_headers_is_damaged() -> None:
    header, *others = taken_apart(PNG)
    lower = header[1][:4] + b"\0\0\0\x09" + header[1][8:]
    assert reason_of(built([header, (b"IHDR", lower), *others])) == "damaged"


def test_palette_png_without_its_palette_is_damaged() -> None:
    chunks = taken_apart(saved(film(Random(1)).convert("P"), "PNG"))
    assert reason_of(built([chunk for chunk in chunks if chunk[0] != b"PLTE"])) == "damaged"


def test_png_with_another_chunk_between_its_pixels_is_damaged() -> None:
    (header, (_, packed), end) = taken_apart(PNG)
    parts = [(b"IDAT", packed[:500]), (b"abCd", b""), (b"IDAT", packed[500:])]
    assert reason_of(built([header, *parts, end])) == "damaged"


@pytest.mark.parametrize(
    "options", [{}, {"optimize": True}, {"restart_marker_rows": 1}], ids=["plain", "optimal", "restarts"]
)
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_cut_jpeg_is_truncated_though_somebody_closed_it(mode: str, options: dict[str, int]) -> None:
    content = saved(film(Random(1)).convert(mode), "JPEG", quality=90, **options)
    assert outcome_of("cut-with-end", content) == {"truncated"}


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
def test_jpeg_cut_anywhere_is_truncated(options: dict[str, bool]) -> None:
    content = saved(film(Random(1), 40, 30), "JPEG", quality=90, **options)
    assert {reason_of(content[:cut]) for cut in range(2, len(content))} == {"truncated"}


def test_progressive_jpeg_without_its_last_scan_is_truncated() -> None:
    content = saved(film(Random(1)), "JPEG", quality=90, progressive=True)
    assert reason_of(content[: content.rindex(b"\xff\xda")] + b"\xff\xd9") == "truncated"


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"restart_marker_rows": 1}, {"quality": 100}])
@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(1, 1), (8, 8), (17, 9), (400, 300)])
def test_whole_jpeg_has_the_pixels_that_pillow_gives_it(
    mode: str, options: dict[str, int], size: tuple[int, int]
) -> None:
    content = saved(film(Random(2), *size).convert(mode), "JPEG", **options)
    assert np.array_equal(decode(content, MAX_PIXELS).values, np.asarray(Image.open(io.BytesIO(content))))


def test_jpeg_with_hundreds_of_scans_is_refused_before_it_is_decoded() -> None:
    # Each costs 20 bytes of file, and libjpeg a walk through all blocks of the picture.
    assert reason_of(flat_jpeg(0xC2, 8, [(0, 0, 0), *[(1, 63, 0)] * 32])) == "too_large"
    assert decode(flat_jpeg(0xC2, 8, [(0, 0, 0), *[(1, 63, 0)] * 31]), MAX_PIXELS).width == 64


def test_12_bit_jpeg_is_of_the_wrong_format_and_not_called_damaged() -> None:
    assert reason_of(flat_jpeg(0xC1, 12, [(0, 63, 0)])) == "wrong_format"


@pytest.mark.timeout(20)
def test_hundred_megabytes_of_remarks_in_a_jpeg_cost_no_time() -> None:
    # Pillow takes a minute to put so many Exif segments together.
    remark = segment(0xE1, b"Exif\0\0" + bytes(65_000))
    content = JPEG[:2] + remark * 1600 + JPEG[2:]
    assert np.array_equal(decode(content, MAX_PIXELS).values, decode(JPEG, MAX_PIXELS).values)


def test_files_of_countless_empty_parts_are_too_large() -> None:
    header, *others = taken_apart(PNG)
    assert reason_of(built([header, *[(b"abCd", b"")] * 300_000, *others])) == "too_large"
    assert reason_of(JPEG[:2] + segment(0xFE, b"") * 300_000 + JPEG[2:]) == "too_large"
