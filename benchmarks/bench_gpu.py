"""What a machine with GPUs makes of Nightread, in one table: `make bench-gpu`.

It finds what there is, checks golden scores in the precision that the network runs in, and measures the bare
forward pass, the way from files to rows, decoding by threads, and children per GPU. Without a GPU it says so,
and measures the processor's part. Exit code 1 where golden scores are not met.
"""

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Final, TypeVar

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "tests")]

import bench  # noqa: E402
import decode_threads  # noqa: E402
import numpy as np  # noqa: E402
from bench import Row  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from config.cards.model import SHIPPED, Classifier, read_model, require_classifier  # noqa: E402
from config.errors import ConfigError  # noqa: E402
from config.machine import cores, gpu_ids  # noqa: E402
from jobs.phantoms.archive import draw, plan_archive  # noqa: E402
from workers.inference.engine import (  # noqa: E402
    GOLDEN_TOLERANCE,
    GOLDEN_TOLERANCE_HALF,
    Engine,
    infer_views,
    make_engine,
)
from workers.inference.formats.picture import Picture  # noqa: E402
from workers.inference.golden import expected_scores  # noqa: E402
from workers.inference.pixels import prepare_views  # noqa: E402

T = TypeVar("T")

CHILDREN: Final = (1, 2, 3)
"""Per GPU: one waits for the disk, or writes its rows, while another computes."""


@dataclass(frozen=True)
class Machine:
    """What there is before anything is measured: the GPUs by their identifiers, and lines about all of it."""

    gpus: tuple[str, ...]
    lines: tuple[str, ...]

    @classmethod
    def here(cls) -> "Machine":
        """Look at this machine."""
        gpus = tuple(gpu_ids())
        now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
        libraries = ", ".join(f"{name} {version(name)}" for name in ("tensorflow", "keras", "numpy"))
        devices = (_driver() or (f"GPUs: {', '.join(gpus)}",)) if gpus else ("no GPU",)
        return cls(
            gpus,
            (
                f"{now}, {cores()} cores of {_processor()}, load {os.getloadavg()[0]:.1f}",
                *devices,
                f"Python {platform.python_version()}, {libraries}",
            ),
        )

    @property
    def places(self) -> int:
        """Return on how many devices a child may compute: GPUs, or cores where there is none."""
        return len(self.gpus) or cores()


def _driver() -> tuple[str, ...]:
    query = ["nvidia-smi", "--query-gpu=index,name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(f"GPU {line}" for line in done.stdout.splitlines())


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


@dataclass(frozen=True)
class Golden:
    """An engine's largest difference of a probability from the card's golden scores, and what it may be."""

    engine: str
    batch: int
    largest: float
    tolerance: float
    scores: NDArray[np.float32]
    """Of pictures that no card has scores of, (N, findings): they are compared with another engine's."""

    @property
    def reached(self) -> bool:
        """Whether a worker would take it."""
        return self.largest <= self.tolerance


def golden_of(engine: Engine, model: Classifier, pictures: int) -> Golden:
    """Compare an engine with a card, and score some phantoms."""
    card = model.card
    largest = max(
        float(
            np.abs(
                infer_views(engine, views[None]).probabilities[0] - np.asarray(expected, dtype=np.float32)
            ).max()
        )
        for _, views, expected in expected_scores(card)
    )
    half = engine.name.endswith(("-gpu", "-bf16"))
    views = [prepare_views(Picture(draw(phantom)), card.pixels) for phantom in plan_archive(pictures, seed=5)]
    scores = [infer_views(engine, one[None]).probabilities[0] for one in views]
    tolerance = GOLDEN_TOLERANCE_HALF if half else GOLDEN_TOLERANCE
    return Golden(engine.name, engine.batch, largest, tolerance, np.stack(scores))


def _golden(gpu: str, pictures: int) -> Golden | str:
    """Load the shipped model in a process of its own, on a GPU or, if none is named, on the processor."""
    os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    model = require_classifier(read_model(SHIPPED / "demo"))
    try:
        return golden_of(make_engine("tensorflow", model, threads=cores()), model, pictures)
    except ConfigError as error:
        return str(error)


def in_a_process(work: Callable[[str, int], T], gpu: str, pictures: int) -> T:
    """Do some work in a process of its own, which may load TensorFlow for one device."""
    with get_context("spawn").Pool(1) as pool:
        return pool.apply(work, (gpu, pictures))


def golden_rows(machine: Machine, pictures: int) -> list[Row]:
    """Check each device's golden scores, and compare what two precisions make of phantoms."""
    rows, found = [], {}
    for gpu in (*machine.gpus, ""):
        found[gpu] = golden = in_a_process(_golden, gpu, pictures)
        what = f"golden scores on {f'GPU {gpu}' if gpu else 'the processor'}"
        if isinstance(golden, str):
            rows.append(Row(what, golden, "", reached=False))
            continue
        value = f"{golden.engine}, batches of {golden.batch}: {golden.largest:.1e} off"
        rows.append(Row(what, value, f"<= {golden.tolerance:.0e}", golden.reached))
    plain = found[""]
    for gpu, golden in found.items():
        if gpu and isinstance(golden, Golden) and isinstance(plain, Golden):
            apart = float(np.abs(golden.scores - plain.scores).max())
            what = f"{pictures} phantoms, GPU {gpu} in mixed precision and the processor in float32"
            limit = GOLDEN_TOLERANCE_HALF
            rows.append(Row(what, f"{apart:.1e} apart", f"<= {limit:.0e}", apart <= limit))
    return rows


def speed_rows(machine: Machine, seconds: float, images: int) -> Iterator[Row]:
    """Measure the bare forward pass and the way from files to rows, by the number of children."""
    device = "GPU" if machine.gpus else "core"
    for each in CHILDREN if machine.gpus else CHILDREN[:1]:
        children = each * machine.places
        threads = max(1, cores() // children)
        bare = bench.forward("tensorflow", seconds, children, threads, machine.gpus)
        what = f"{each} {'child' if each == 1 else 'children'} per {device}"
        yield Row(f"bare forward pass, {what}", f"{bare.bare:.1f} images/s, with maps {bare.maps:.1f}", "")
        count = str(children)
        for name, batch in (("PNG to committed rows", "32"), ("the same, batches of 256", "256")):
            rate = bench.end_to_end(images, "tensorflow", batch_size=batch, NIGHTREAD_CHILDREN=count)
            yield Row(f"{name}, {what}", f"{rate:.1f} images/s, {rate / bare.bare:.2f} of the bare pass", "")


def decode_rows(seconds: float, rounds: int) -> Iterator[Row]:
    """Measure how decoding scales with the threads of one child."""
    for one in decode_threads.measure(seconds, rounds, decode_threads.thread_counts()):
        yield Row(
            f"decoding {one.kind}, {one.threads} threads in one child",
            f"{one.pictures:.0f} pictures/s, {one.over_one:.2f} times one thread, {one.over_processes:.2f} "
            f"times as many processes, on {one.cores:.1f} cores",
            ">= 1.8 times one" if one.threads == 2 else "",
            one.over_one >= 1.8 if one.threads == 2 else None,
        )


def page(machine: Machine, rows: Sequence[Row]) -> str:
    """Write the table."""
    lines = ["# Nightread on this machine", "", *(f"- {line}" for line in machine.lines), ""]
    lines += ["| figure | measured | wanted | reached |", "|---|---|---|---|"]
    words = {None: "", True: "yes", False: "**no**"}
    lines += [f"| {row.what} | {row.value} | {row.wanted} | {words[row.reached]} |" for row in rows]
    return "\n".join([*lines, ""])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is asked for, and write the page after each part, should a later one fail."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("bench-gpu.md"))
    parser.add_argument("--only", choices=["golden", "speed", "decode"], action="append")
    parser.add_argument("--images", type=int, help="per device; default: 4,000 per GPU, 320 per core")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement that has no end")
    parser.add_argument("--rounds", type=int, default=5, help="of turns between numbers of threads")
    options = parser.parse_args(arguments)
    machine = Machine.here()
    print("\n".join(machine.lines))
    if not machine.gpus:
        print("no GPU: the processor's part is measured")
    images = (options.images or (4_000 if machine.gpus else 320)) * machine.places
    parts: dict[str, Callable[[], Iterable[Row]]] = {
        "golden": lambda: golden_rows(machine, 24),
        "decode": lambda: decode_rows(options.seconds / 10, options.rounds),
        "speed": lambda: speed_rows(machine, options.seconds, images),
    }
    rows: list[Row] = []
    for part, measure in parts.items():
        if options.only is None or part in options.only:
            for row in measure():
                print(f"{row.what}: {row.value}", flush=True)
                rows.append(row)
                options.output.write_text(page(machine, rows), encoding="utf-8")
    print(f"written: {options.output}")
    if any(row.reached is False for row in rows if row.what.startswith("golden")):
        sys.exit(1)


if __name__ == "__main__":
    main()
