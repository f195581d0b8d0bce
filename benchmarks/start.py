"""Measure the start: seconds from `nightread score` to the first committed row, and what a child then holds.

    python benchmarks/start.py --images DIR [--rounds N] [--before CHECKOUT] [--engine ENGINE]

In turns, each in a process of its own as its user starts it: with an empty home ("cold": OpenVINO's graph has
to be exported), with a home that has scored before ("warm") and, with --before, by another checkout.
Seconds by the clock mean something on an idle machine only; processor seconds of the command and all its
processes always do. Memory is of the largest child at its end, in MB: resident, and its share (PSS).
"""

import argparse
import csv
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]
_LOOK_SECONDS = 0.02
_MEMORY_SECONDS = 0.25  # the kernel walks all of a process' pages for its figures


@dataclass
class Start:
    """One run's figures: seconds to the first row and to the end, processor seconds, MB of a child.

    A child that evaluates has loaded statistics, too: its memory is apart, as it keeps them.
    """

    first_row: float = 0.0
    end: float = 0.0
    processor: float = 0.0
    first_processor: float = 0.0
    resident: float = 0.0
    share: float = 0.0
    evaluating: float = 0.0
    evaluating_share: float = 0.0
    modules: set[str] = field(default_factory=set)


def main() -> None:
    """Measure in turns and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--images", type=Path, required=True, help="folder of radiographs")
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--before", type=Path, help="another checkout, to compare with")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--before-engine", default="tensorflow")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="start-") as scratch:
        folder = Path(scratch)
        table = _table(asked.images, asked.count, folder)
        kinds = {
            f"{asked.engine}, cold": (ROOT, asked.engine, False),
            f"{asked.engine}, warm": (ROOT, asked.engine, True),
        }
        if asked.before:
            kinds[f"before, {asked.before_engine}"] = (asked.before.resolve(), asked.before_engine, True)
        found: dict[str, list[Start]] = {kind: [] for kind in kinds}
        for number in range(asked.rounds + 1):
            for kind, (checkout, engine, warm) in kinds.items():
                home = folder / kind.replace(" ", "-")
                # What a home keeps between its runs; the ledger is a new one each time.
                for path in home.iterdir() if home.exists() else ():
                    if not (warm and path.name == "graphs"):
                        shutil.rmtree(path) if path.is_dir() else path.unlink()
                start = measure(checkout, engine, home, table, asked.images)
                if number:  # the first fills the page cache, and a warm home
                    found[kind].append(start)
                    print(json.dumps({"kind": kind, **_shown(start)}), file=sys.stderr, flush=True)
    print(
        "| start | first row, s | processor s by then | end, s | processor s | child RSS, MB | PSS, MB "
        "| RSS once it evaluates, MB | PSS, MB | TensorFlow |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for kind, starts in found.items():
        columns = [
            statistics.median(getattr(start, name) for start in starts)
            for name in (
                "first_row",
                "first_processor",
                "end",
                "processor",
                "resident",
                "share",
                "evaluating",
                "evaluating_share",
            )
        ]
        loaded = "loaded" if any("tensorflow" in start.modules for start in starts) else "not loaded"
        print(f"| {kind} | " + " | ".join(f"{value:.1f}" for value in columns) + f" | {loaded} |")


def measure(checkout: Path, engine: str, home: Path, table: Path, images: Path) -> Start:
    """Score a table and look at what happens."""
    start = Start()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NIGHTREAD_", "PYTHON"))}
    environment |= {"NIGHTREAD_HOME": str(home), "NIGHTREAD_ENGINE": engine, "PYTHONPATH": str(checkout)}
    command = [
        sys.executable,
        "-P",
        "-m",
        "workers.commands.main",
        "score",
        str(table),
        "--images",
        str(images),
    ]
    begun = time.monotonic()
    with (home.parent / "output").open("wb") as output:
        run = subprocess.Popen(command, env=environment, cwd=home.parent, stdout=output, stderr=output)
    seconds: dict[int, float] = {}
    looked = begun
    while run.poll() is None:
        looks = time.monotonic() - looked > _MEMORY_SECONDS
        for process in _processes(run.pid):
            with suppress(psutil.Error):
                times = process.cpu_times()
                seconds[process.pid] = times.user + times.system
                if looks:
                    _look_at(process, start)
        looked = time.monotonic() if looks else looked
        if not start.first_row and _has_rows(home / "nightread.db"):
            start.first_row = time.monotonic() - begun
            start.first_processor = sum(seconds.values())
        time.sleep(_LOOK_SECONDS)
    if run.returncode not in {0, 3}:
        raise SystemExit(f"score ended with {run.returncode}: {(home.parent / 'output').read_text()}")
    start.end = time.monotonic() - begun
    start.processor = sum(seconds.values())
    return start


def _processes(pid: int) -> list[psutil.Process]:
    with suppress(psutil.Error):
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    return []


def _look_at(process: psutil.Process, start: Start) -> None:
    """Keep the figures of the largest child of a worker."""
    if "billiard-fork" not in " ".join(process.cmdline()):
        return
    memory = process.memory_full_info()
    libraries = " ".join(mapping.path for mapping in process.memory_maps())
    if "/pandas/" in libraries:
        start.evaluating = max(start.evaluating, memory.rss / 2**20)
        start.evaluating_share = max(start.evaluating_share, memory.pss / 2**20)
    else:
        start.resident = max(start.resident, memory.rss / 2**20)
        start.share = max(start.share, memory.pss / 2**20)
    if "libtensorflow" in libraries:
        start.modules.add("tensorflow")


def _has_rows(database: Path) -> bool:
    if not database.exists():
        return False
    with suppress(sqlite3.Error), sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=0) as ledger:
        return bool(ledger.execute("SELECT EXISTS (SELECT 1 FROM image_result)").fetchone()[0])
    return False


def _table(images: Path, count: int, folder: Path) -> Path:
    """Write a manifest of a folder's first PNG files."""
    names = sorted(path.name for path in images.glob("*.png"))[:count]
    table = folder / "images.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([["Image Index"], *([name] for name in names)])
    return table


def _shown(start: Start) -> dict[str, object]:
    return {
        name: sorted(value) if isinstance(value, set) else round(value, 2)
        for name, value in vars(start).items()
    }


if __name__ == "__main__":
    main()
