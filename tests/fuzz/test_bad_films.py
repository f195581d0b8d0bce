"""No bad DICOM file crashes, hangs or fills the memory of a worker, and a cut one is not scored."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from fuzz.corpus import SCORED, SECONDS_A_READ, Night, Sample, faults, read_in_child
from fuzz.dicom_corpus import ANY_FILM, COSTLY, ENCAPSULATED, PLAIN_FILM, dicom_samples

pytestmark = pytest.mark.processes

SEED = 20_261_126
ROUNDS = 13
GROWN_LIMIT = 300_000_000
"""Bytes: about 75 for each of the 4 million pixels that a picture may have here."""


@dataclass(frozen=True)
class Read:
    samples: list[Sample]
    night: Night


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Read:
    """The whole corpus, read once by one child process."""
    folder = tmp_path_factory.mktemp("films")
    real = os.environ.get("NIGHTREAD_REAL_DATA")
    made = list(dicom_samples(SEED, ROUNDS, Path(real) if real else None))
    for sample in made:
        (folder / sample.name).write_bytes(sample.content)
    return Read(made, read_in_child(folder, [sample.name for sample in made], timeout=270))


def test_no_film_of_two_thousand_crashes_or_hangs_the_process_that_reads_it(read: Read) -> None:
    assert read.night.died == ""
    assert len(read.night.readings) == len(read.samples) >= 2000
    assert max(reading.seconds for reading in read.night.readings.values()) < SECONDS_A_READ


def test_memory_stays_bounded_whatever_films_claim_to_hold(read: Read) -> None:
    assert 0 < read.night.grown < GROWN_LIMIT


def test_every_film_ends_scored_or_failed_with_a_reason_of_pictures(read: Read) -> None:
    outcomes = {reading.outcome for reading in read.night.readings.values()}
    assert outcomes == {SCORED, "truncated", "damaged", "wrong_format", "too_large"}
    messages = [reading.message for reading in read.night.readings.values() if reading.outcome != SCORED]
    assert all(messages)
    assert not [message for message in messages if "\n" in message or "SEEDED" in message]


@pytest.mark.parametrize(
    "mutation", ["original", *ANY_FILM, *PLAIN_FILM, *ENCAPSULATED, "segment-offsets", *COSTLY]
)
def test_damaged_films_fail_with_their_reason_and_a_harmless_change_keeps_the_pixels(
    read: Read, mutation: str
) -> None:
    chosen = [sample for sample in read.samples if f".{mutation}" in sample.name]
    assert chosen
    readings = read.night.readings
    wrong = [faults(sample, readings[sample.name], readings) for sample in chosen]
    assert [line for line in wrong if line] == []
