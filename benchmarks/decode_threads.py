"""How decoding scales with the threads of one child: reading, checking, decoding and preparing pictures.

`python benchmarks/decode_threads.py [--seconds 2] [--rounds 5]`; with NIGHTREAD_REAL_DATA the PNGs (one in
RGBA, one in grey) and the film are real ones, else they are drawn. Threads of one process take turns with as
many processes of one thread: on a busy machine only their ratio counts, which is 1 where threads do not wait
for each other.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from os import environ
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import cv2

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "tests")]

from dicom_rates import CARD, LIMIT, drawn, films, real  # noqa: E402

from config.machine import cores  # noqa: E402
from jobs.sources.folder import FolderSource  # noqa: E402
from workers.prepared.pictures import Preparation, PreparedPictures  # noqa: E402
from workers.runtime.memory import keep_freed_memory  # noqa: E402

NAMES: Final = {"PNG": "radiograph.png", "PNG, grey": "grey.png", "DICOM, uncompressed": "film.dcm"}

_COLOUR_TYPE: Final = 25  # its place in a PNG; 0 is grey


class Rate(NamedTuple):
    """Pictures and processor seconds, both per second of the clock."""

    pictures: float
    processor: float


@dataclass
class Scaling:
    """Of one kind of file: the rates of one thread, of several, and of as many processes of one."""

    kind: str
    threads: int
    one: list[Rate] = field(default_factory=list)
    several: list[Rate] = field(default_factory=list)
    processes: list[Rate] = field(default_factory=list)

    @property
    def pictures(self) -> float:
        """Pictures per second of the threads."""
        return median(rate.pictures for rate in self.several)

    @property
    def over_one(self) -> float:
        """How many times as fast as one thread, by the clock."""
        return median(
            several.pictures / one.pictures for several, one in zip(self.several, self.one, strict=True)
        )

    @property
    def over_processes(self) -> float:
        """How fast, compared with processes, which share nothing."""
        return median(
            several.pictures / apart.pictures
            for several, apart in zip(self.several, self.processes, strict=True)
        )

    @property
    def cores(self) -> float:
        """How many cores the threads were given, by the machine and by each other."""
        return median(rate.processor for rate in self.several)


def write_files(folder: Path) -> None:
    """Write one file of each kind."""
    data = environ.get("NIGHTREAD_REAL_DATA")
    png, pixels = real(Path(data)) if data else drawn()
    others = sorted((Path(data) / "nih" / "images").glob("*.png")) if data else []
    greys = (content for content in map(Path.read_bytes, others) if content[_COLOUR_TYPE] == 0)
    (folder / NAMES["PNG, grey"]).write_bytes(next(greys, png))
    (folder / NAMES["PNG"]).write_bytes(png)
    (folder / NAMES["DICOM, uncompressed"]).write_bytes(films(pixels)["uncompressed"])


def work(folder: str, name: str, seconds: float, threads: int = 1) -> Rate:
    """Prepare one file again and again, by threads, with memory kept as in a worker's child."""
    cv2.setNumThreads(1)
    keep_freed_memory(threads)
    wanted = Preparation((CARD,), LIMIT, sight=True, backdrop=True)
    pictures = PreparedPictures(FolderSource(folder), wanted)
    pictures.get(name)
    begun, worked = time.perf_counter(), time.process_time()

    def prepare(_: int) -> int:
        count = 0
        while time.perf_counter() - begun < seconds:
            pictures.get(name)
            count += 1
        return count

    with ThreadPoolExecutor(threads) as pool:
        done = sum(pool.map(prepare, range(threads)))
    taken = time.perf_counter() - begun
    return Rate(done / taken, (time.process_time() - worked) / taken)


def measure(seconds: float, rounds: int, counts: Sequence[int]) -> list[Scaling]:
    """Measure all kinds of file with each number of threads, in turns."""
    found = []
    with tempfile.TemporaryDirectory(prefix="nightread-decode-") as folder:
        write_files(Path(folder))
        for threads in counts:
            with get_context("spawn").Pool(threads) as pool:
                for kind, name in NAMES.items():
                    scaling = Scaling(kind, threads)
                    for _ in range(rounds):
                        scaling.one.append(pool.apply(work, (folder, name, seconds)))
                        scaling.several.append(pool.apply(work, (folder, name, seconds, threads)))
                        apart = pool.starmap(work, [(folder, name, seconds)] * threads, chunksize=1)
                        scaling.processes.append(Rate(*map(sum, zip(*apart, strict=True))))
                    found.append(scaling)
    return found


def thread_counts() -> list[int]:
    """Return the numbers of threads to measure: two, twice as many, and so on, up to one per core."""
    return [2**power for power in range(1, cores().bit_length()) if 2**power <= cores()] or [2]


def table(found: Sequence[Scaling]) -> list[str]:
    """Return the lines of a table."""
    lines = [
        "| file | threads | pictures/s | times one thread | times as many processes | cores that it got |",
        "|---|---|---|---|---|---|",
    ]
    return lines + [
        f"| {one.kind} | {one.threads} | {one.pictures:.1f} | {one.over_one:.2f} | {one.over_processes:.2f} "
        f"| {one.cores:.2f} |"
        for one in found
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print("\n".join(table(measure(options.seconds, options.rounds, thread_counts()))))


if __name__ == "__main__":
    main()
