"""How well copies of films are found, and two films of one patient told apart: docs/duplicates.md.

    NIGHTREAD_REAL_DATA=... PYTHONPATH=tests python benchmarks/duplicates.py copies
    NIGHTREAD_REAL_DATA=... PYTHONPATH=tests python benchmarks/duplicates.py films
    NIGHTREAD_REAL_DATA=... PYTHONPATH=tests python benchmarks/duplicates.py scale 112120

`copies` makes, by a seed, a copy of each kind of every real radiograph, and counts those that are found among
all radiographs. `films` looks for duplicates among these as they are, and compares each patient's films with
each other although the search would not. `scale` searches so many looks, which are distorted real ones.
"""

import argparse
import csv
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from copy_support import KINDS, Random, grey
from numpy.typing import NDArray

from jobs.sources.source import open_source
from workers.duplicates import Archive, Reader, Telling
from workers.inference.copies import Copy, Search
from workers.inference.formats.decode import read_picture
from workers.inference.formats.picture import Picture
from workers.inference.likeness import COPY, grey_values, likeness, look_at

MAX_PIXELS: Final = 64_000_000
ROOT: Final = Path(os.environ["NIGHTREAD_REAL_DATA"])


def main() -> None:
    """Measure what is asked for, and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("copies", "films", "scale"))
    parser.add_argument("images", nargs="?", type=int, default=112_120, help="looks that `scale` searches")
    options = parser.parse_args()
    if options.what == "scale":
        scale(options.images)
    else:
        {"copies": copies, "films": films}[options.what](real_films())


def real_films() -> Archive:
    """Name NIH's radiographs and the children's, with their patients."""
    rows = []
    for table, images, name, patient in (
        ("nih/Data_Entry.csv", "nih/images", "Image Index", "Patient ID"),
        ("pneumonia/train.csv", "pneumonia/images", "Image", "PatientId"),
        ("pneumonia/test.csv", "pneumonia/images", "Image", "PatientId"),
    ):
        with (ROOT / table).open(encoding="utf-8-sig", newline="") as file:
            rows += [(f"{images}/{row[name]}", f"{table} {row[patient]}") for row in csv.DictReader(file)]
    return Archive(open_source(ROOT), [name for name, _ in rows], [patient for _, patient in rows])


def copies(archive: Archive) -> None:
    """Print for each kind of copy how many are found, and how many are found to be of another film."""
    pictures = [read_picture(archive.source, name, MAX_PIXELS) for name in archive.names]
    greys = [grey(grey_values(picture)) for picture in pictures]
    looks = np.stack([look_at(picture) for picture in pictures])
    for number, (kind, change) in enumerate(KINDS.items()):
        random = np.random.default_rng(number)
        changed = [Picture(np.ascontiguousarray(change(film, random))) for film in greys]
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            found, others, correlations = found_of(looks, pictures, changed, threads)
        least = np.quantile(np.abs(correlations), 0.01) if correlations else np.nan
        total = len(changed)
        print(f"| {kind} | {found / total:.4f} ({found} of {total}) | {others} | {least:.2f} |", flush=True)


def found_of(
    looks: NDArray[np.int8], pictures: list[Picture], changed: list[Picture], threads: ThreadPoolExecutor
) -> tuple[int, int, list[float]]:
    """Search for changed pictures among all; returns the right pairs, the wrong ones, and correlations."""

    def compare(number: int, other: int) -> float:
        return likeness(pictures[number], changed[other])

    search = Search(looks, np.stack([look_at(picture) for picture in changed]), compare, threads)
    pairs = [copy for block in search for copy in block]
    right = [copy.correlation for copy in pairs if copy.picture == copy.other]
    # Of the same bytes, one copy is found of the other's original, and no more is looked for.
    other = {copy.other for copy in pairs} - {copy.other for copy in pairs if copy.picture == copy.other}
    twins = {number for number in other if _is_twin(pictures, pairs, number)}
    return len(right) + len(twins), len(other - twins), right


def _is_twin(pictures: list[Picture], pairs: list[Copy], number: int) -> bool:
    return any(
        np.array_equal(pictures[copy.picture].values, pictures[number].values)
        for copy in pairs
        if copy.other == number
    )


def films(archive: Archive) -> None:
    """Print what is found among the films as they are, and how alike two films of one patient are."""
    start = time.perf_counter()
    done = {"read": 0.0}

    def read(_done: int, _images: int) -> None:
        done["read"] = time.perf_counter() - start

    with Reader(MAX_PIXELS, os.cpu_count() or 1) as reader:
        found = reader.find(archive, None, Telling(read, lambda _done, _blocks: None))
    whole = time.perf_counter() - start
    print(f"{found.images} films: read in {done['read']:.1f} s, searched in {whole - done['read']:.1f} s")
    for kind in ("same bytes", "same picture", "copy"):
        print(f"{kind}: {sum(pair.kind == kind for pair in found.pairs)} pairs")
    same = {(pair.image, pair.other_image) for pair in found.pairs}
    of_patient = defaultdict(list)
    for name, patient in zip(archive.names, archive.patients, strict=True):
        of_patient[patient].append(name)
    pairs = [pair for names in of_patient.values() for pair in combinations(names, 2) if pair not in same]
    values = [abs(likeness(*pictures)) for pictures in read_pairs(archive, pairs)]
    print(f"{len(pairs)} pairs of two films of one patient: {sum(value > COPY for value in values)} copies")
    print("the most alike:", ", ".join(f"{value:.2f}" for value in sorted(values)[:-9:-1]))


def read_pairs(archive: Archive, pairs: list[tuple[str, str]]) -> Iterator[tuple[Picture, Picture]]:
    """Read both pictures of each pair."""
    for one, other in pairs:
        yield read_picture(archive.source, one, MAX_PIXELS), read_picture(archive.source, other, MAX_PIXELS)


def scale(count: int) -> None:
    """Time the search among many looks: real ones, each bent by a smooth field of its own."""
    archive = real_films()
    own = np.stack([look_at(read_picture(archive.source, name, MAX_PIXELS)) for name in archive.names])
    random = np.random.default_rng(0)
    looks = np.stack([_bent(own[number % len(own)], random) for number in range(count)])
    compared = []

    def compare(number: int, other: int) -> float:
        compared.append((number, other))
        return 0.0

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        start, before = time.perf_counter(), time.process_time()
        search = Search(looks, None, compare, threads)
        sketched = time.perf_counter()
        for done, _ in enumerate(search, start=1):
            if done % 100 == 0:
                print(f"{done} of {len(search)} blocks, {time.perf_counter() - start:.0f} s", flush=True)
    end = time.perf_counter()
    print(
        f"{count} looks: sketches {sketched - start:.0f} s, search {end - sketched:.0f} s, "
        f"{len(compared)} pairs to be read again; {time.process_time() - before:.0f} s of processors"
    )


def _bent(look: NDArray[np.int8], random: Random) -> NDArray[np.int8]:
    """Make another film of a look: moved by a smooth field of 4 pixels, and of another contrast by places."""
    y, x = np.mgrid[0:64, 0:64].astype(np.float32)
    fields = [
        cv2.resize(random.normal(0, 1, (5, 5)).astype(np.float32), (64, 64), interpolation=cv2.INTER_CUBIC)
        for _ in range(3)
    ]
    moved = cv2.remap(look.astype(np.float32), x + 4 * fields[0], y + 4 * fields[1], cv2.INTER_LINEAR)
    bent: NDArray[np.int8] = (moved * np.exp(0.3 * fields[2])).clip(-127, 127).astype(np.int8)
    return bent


if __name__ == "__main__":
    main()
