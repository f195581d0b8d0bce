"""Read tens of thousands of bad pictures, and count the outcomes; its table is in docs/bad-input.md.

`python benchmarks/fuzz_pictures.py --files 20000 [--seed N]`; with NIGHTREAD_REAL_DATA real radiographs are
mutated too. Exits with 1 and names each file with a wrong outcome; --keep is where those go.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from itertools import count
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from fuzz.corpus import SCORED, Sample, faults, read_in_child, samples  # noqa: E402
from fuzz.dicom_corpus import dicom_samples  # noqa: E402
from support import READ_REASONS  # noqa: E402

KINDS = {"png": "PNG", "nih": "PNG", "jpeg": "JPEG", "pneumonia": "JPEG", "dicom": "DICOM"}
"""What a file was made from, by the beginning of its name."""

OUTCOMES = [SCORED, "truncated", "damaged", "wrong_format", "too_large"]


def read(made: list[Sample], counts: dict[str, Counter[str]], keep: Path | None) -> tuple[int, int, float]:
    """Read one round of files; returns faults, bytes of memory and the longest read in seconds of CPU."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for sample in made:
            (folder / sample.name).write_bytes(sample.content)
        night = read_in_child(folder, [sample.name for sample in made], timeout=600)
        wrong = [night.died] if night.died else []
        for sample in made:
            if sample.name not in night.readings:
                continue
            reading = night.readings[sample.name]
            source, mutation = (*sample.name.split("."), "")[:2]
            kind = KINDS.get(source.partition("-")[0])
            counts[f"{kind}: {mutation}" if kind and mutation else "strangers"][reading.outcome] += 1
            fault = faults(sample, reading, night.readings)
            if fault:
                wrong.append(fault)
                if keep is not None:
                    shutil.copy(folder / sample.name, keep)
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return len(wrong), night.grown, max((reading.seconds for reading in night.readings.values()), default=0.0)


def main() -> None:
    """Make, read and count round after round until there have been enough files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path)
    order = parser.parse_args()
    if order.keep is not None:
        order.keep.mkdir(parents=True, exist_ok=True)
    real = os.environ.get("NIGHTREAD_REAL_DATA")
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    files, wrong, grown, longest, start = 0, 0, 0, 0.0, time.monotonic()
    for seed in count(order.seed):
        if files >= order.files:
            break
        folder = Path(real) if real else None
        made = [*samples(seed, 3, folder), *dicom_samples(seed, 3, folder)]
        found = read(made, counts, order.keep)
        files, wrong = files + len(made), wrong + found[0]
        grown, longest = max(grown, found[1]), max(longest, found[2])
    print("| mutation | " + " | ".join(OUTCOMES) + " |")
    print("|---" * (len(OUTCOMES) + 1) + "|")
    for mutation in sorted(counts):
        cells = (str(counts[mutation][outcome] or "") for outcome in OUTCOMES)
        print(f"| {mutation} | " + " | ".join(cells) + " |")
    others = sum(counted.total() for counted in counts.values()) - sum(
        counted[outcome] for counted in counts.values() for outcome in OUTCOMES
    )
    print(f"{files:,} files, {others} with one of {sorted(READ_REASONS - set(OUTCOMES))}, {wrong} faults;")
    print(f"memory grew by {grown / 1e6:.0f} MB, the longest read took {longest:.2f} s of CPU, ", end="")
    print(f"all {time.monotonic() - start:.0f} s")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
