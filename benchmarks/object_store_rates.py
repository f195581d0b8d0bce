"""How fast images come from an object store that is far away, against a folder on this machine's disk.

    python benchmarks/object_store_rates.py [--images 192] [--latency 0.05] [--children 2] [--whole 0]

With `--whole N`, `nightread score` as a whole, by OpenVINO with overlays: N times from each, in turns, each
time with a home folder of its own. Printed are its rate from the first batch's claim to the last one's rows,
the seconds of the whole command, and the processor's seconds of it and all that it started.

Otherwise, for each of: the demo's network by OpenVINO, no network, and reading alone. Drawn phantoms of
1024 x 1024, or small pictures that cost little to decode, go through the scorer as in a worker's child, batch
by batch: each child's process claims nothing and writes no rows, as those cost the same whatever the source.
`benchmarks/object_server.py` stands for the store; it waits for `--latency` seconds before each answer. The
sources take turns, batch by batch.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median

import cv2
import numpy as np
from numpy.typing import NDArray

from config.cards.model import SHIPPED, read_model, require_classifier
from db.ledger import BatchImage, Claim
from db.outcomes import Failed
from jobs.phantoms.archive import plan_archive, write_archive
from jobs.sources.source import open_source
from workers.inference.engine import Inference
from workers.inference.ensemble import Ensemble
from workers.outputs.overlays import Overlays
from workers.read_ahead import ReadAhead
from workers.scoring.classification import ClassificationScorer
from workers.scoring.scorer import ScorerOptions

_BATCH = 32
_PIXELS = 64_000_000


class _NoNetwork:
    """Answers at once."""

    batch = 8
    name = "none"

    def infer(self, inputs: NDArray[np.float32]) -> Inference:
        findings = 14
        return Inference(
            np.zeros((len(inputs), findings), np.float32),
            np.zeros((len(inputs), 10, 10, findings), np.float32),
            np.zeros((len(inputs), 4), np.float32),
        )


_scorer: ClassificationScorer | None = None
_readers = ThreadPoolExecutor(64)


def _load(network: bool) -> None:
    global _scorer  # noqa: PLW0603  # a process of a pool has no other place for what it keeps
    cv2.setNumThreads(1)
    model = require_classifier(read_model(SHIPPED / "demo"))
    nowhere = Path(tempfile.mkdtemp())
    if network:
        _scorer = ClassificationScorer.load(model, ScorerOptions("openvino", 1, nowhere, _PIXELS))
    else:
        _scorer = ClassificationScorer(
            model.card,
            Ensemble.alone(model.card, _NoNetwork()),
            overlays=Overlays(nowhere),
            max_pixels=_PIXELS,
        )


def _score(root: str, names: list[str]) -> float:
    """Return the seconds that a batch takes."""
    scorer = _scorer
    if scorer is None:
        raise RuntimeError
    card = scorer.card
    held = Claim(
        batch_id=1,
        run_id=1,
        number=1,
        batches=1,
        attempt=1,
        token="",
        root=root,
        heatmaps="none",
        bits=None,
        model=card.name,
        card_sha256=card.fingerprint,
        findings={},
        images=tuple(BatchImage(number, name) for number, name in enumerate(names)),
    )
    began = time.perf_counter()
    outcomes = scorer.score(held)
    spent = time.perf_counter() - began
    if failed := [outcome for outcome in outcomes if isinstance(outcome, Failed)]:
        raise RuntimeError(failed[0].message)
    return spent


def _read(root: str, names: list[str]) -> float:
    """Return the seconds that reading a batch takes, without decoding it."""
    began = time.perf_counter()
    reads = ReadAhead(_readers, open_source(root), names, 8 * _PIXELS)
    for read in reads:
        reads.free(read.result())
    return time.perf_counter() - began


def _rates(
    pool: ProcessPoolExecutor,
    work: Callable[[str, list[str]], float],
    children: int,
    roots: dict[str, str],
    names: list[str],
) -> dict[str, float]:
    """Return each source's images/s; batch by batch they take turns, so that a busy machine befalls all."""
    batches = [names[first : first + _BATCH] for first in range(0, len(names), _BATCH)]
    asked = [(place, pool.submit(work, root, batch)) for batch in batches for place, root in roots.items()]
    seconds = dict.fromkeys(roots, 0.0)
    for place, answer in asked:
        seconds[place] += answer.result()
    return {place: children * len(names) / spent for place, spent in seconds.items()}


@contextmanager
def _served(folder: Path, latency: float) -> Iterator[None]:
    command = [sys.executable, str(Path(__file__).with_name("object_server.py")), str(folder)]
    with subprocess.Popen([*command, "--latency", str(latency)], stdout=subprocess.PIPE, text=True) as server:
        port = server.stdout.readline().strip() if server.stdout else ""
        os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{port}"
        os.environ |= {"AWS_ALLOW_HTTP": "true", "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}
        try:
            yield
        finally:
            server.kill()


def _small(folder: Path, images: int) -> list[str]:
    """Write pictures that cost little to decode: 320 x 320, about 40 kB each."""
    random = np.random.default_rng(1)
    folder.mkdir(parents=True)
    for number in range(images):
        coarse = random.integers(0, 256, (160, 160), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.resize(coarse, (320, 320)))
    return [f"{number}.png" for number in range(images)]


@dataclass(frozen=True)
class _Run:
    """A run of the command: images/s as `progress` has it, seconds of the command, and of processors."""

    rate: float
    seconds: float
    processor: float


def _command(home: Path, children: int, *arguments: str) -> str:
    settings = {
        "NIGHTREAD_HOME": str(home),
        "NIGHTREAD_ENGINE": "openvino",
        "NIGHTREAD_CHILDREN": str(children),
    }
    done = subprocess.run(
        [sys.executable, "-m", "workers.commands.main", *arguments],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


def _run(manifest: Path, root: str, children: int) -> _Run:
    with tempfile.TemporaryDirectory() as folder:
        before, began = getrusage(RUSAGE_CHILDREN), time.perf_counter()
        _command(Path(folder), children, "score", str(manifest), "--images", root)
        seconds, after = time.perf_counter() - began, getrusage(RUSAGE_CHILDREN)
        rows = _command(Path(folder), children, "sql", "SELECT images_per_second FROM progress", "--json")
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return _Run(json.loads(rows)[0]["images_per_second"], seconds, spent)


def _whole(films: Path, times: int, children: int) -> None:
    """Compare whole runs from the folder and from the store, in turns: which is first changes each time."""
    roots = {"disk": str(films / "images"), "store": f"s3://{films.name}/images"}
    runs: dict[str, list[_Run]] = {place: [] for place in roots}
    for number in range(times):
        for place in [*roots][:: -1 if number % 2 else 1]:
            run = _run(films / "manifest.csv", roots[place], children)
            runs[place].append(run)
            print(
                f"{place}: {run.rate:.2f} images/s, {run.seconds:.1f} s, processor {run.processor:.1f} s",
                flush=True,
            )
    rates, seconds, processor = (
        {place: median(getattr(run, what) for run in of) for place, of in runs.items()}
        for what in ("rate", "seconds", "processor")
    )
    print(
        f"store to disk: rate {rates['store'] / rates['disk']:.3f}, "
        f"whole command {seconds['disk'] / seconds['store']:.3f}, "
        f"processor {processor['store'] / processor['disk']:.3f}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=192)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--children", type=int, default=2)
    parser.add_argument("--whole", type=int, default=0, metavar="N")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        buckets = Path(made)
        films = buckets / "films"
        write_archive(films, plan_archive(given.images, 1))
        if given.whole:
            with _served(buckets, given.latency):
                _whole(films, given.whole, given.children)
            return
        names = sorted(path.name for path in (films / "images").iterdir())
        small = _small(buckets / "small" / "images", 40 * _BATCH)
        with _served(buckets, given.latency):
            for what, work, network, bucket, chosen in (
                ("OpenVINO, 1024 x 1024", _score, True, "films", names),
                ("no network, 1024 x 1024", _score, False, "films", names),
                ("no network, 320 x 320", _score, False, "small", small),
                ("reading alone, 320 x 320", _read, False, "small", small),
            ):
                roots = {"disk": str(buckets / bucket / "images"), "store": f"s3://{bucket}/images"}
                pools = ProcessPoolExecutor(
                    given.children, get_context("spawn"), initializer=_load, initargs=(network,)
                )
                with pools as pool:
                    # First the network is loaded, and the connections are opened.
                    _rates(pool, work, given.children, roots, chosen[: given.children * _BATCH])
                    rates = _rates(pool, work, given.children, roots, chosen)
                disk, store = rates["disk"], rates["store"]
                figures = f"disk {disk:.1f}, store {store:.1f} images/s, ratio {store / disk:.2f}"
                print(f"{what}: {figures}", flush=True)


if __name__ == "__main__":
    main()
