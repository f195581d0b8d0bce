"""A worker's child with OpenVINO, started by `nightread score`: small, and without TensorFlow."""

import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from support import Nightread, eventually

from jobs.phantoms.archive import plan_archive, write_archive
from workers.inference.engine import Engine

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]

CHILD_MIB = 450


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    write_archive(folder, plan_archive(28, seed=5))
    return folder


@pytest.fixture
def graph(demo_engine: Engine, home: Path) -> Path:
    """The graph of the demo's model in the home, as one that has scored with it keeps it."""
    assert demo_engine.name == "openvino"
    return home / "graphs" / "demo" / "maps.graph"


def score(nightread: Nightread, phantoms: Path) -> psutil.Process:
    nightread.environment |= {"NIGHTREAD_ENGINE": "openvino", "NIGHTREAD_CHILDREN": "1"}
    run = nightread.start("score", phantoms / "manifest.csv", "--images", phantoms / "images")
    return psutil.Process(run.pid)


def processes(run: psutil.Process, words: str) -> Iterator[psutil.Process]:
    """The processes below a run whose command has these words."""
    with suppress(psutil.NoSuchProcess):
        for process in run.children(recursive=True):
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                if words in " ".join(process.cmdline()):
                    yield process


def loads(process: psutil.Process, library: str) -> bool:
    return any(library in mapping.path for mapping in process.memory_maps())


def test_a_warm_child_loads_no_tensorflow_and_stays_small(
    nightread: Nightread, phantoms: Path, graph: Path
) -> None:
    kept = graph.stat()
    run = score(nightread, phantoms)
    largest = 0
    seen = set()
    evaluated = False
    while run.is_running() and run.status() != psutil.STATUS_ZOMBIE:
        assert not list(processes(run, "workers.inference.export"))
        for child in processes(run, "billiard-fork"):
            with suppress(psutil.NoSuchProcess):
                resident = child.memory_info().rss
                assert not loads(child, "libtensorflow")
                largest = max(largest, resident)
                seen.add(child.pid)
                evaluated = evaluated or loads(child, "/scipy/special/")
        time.sleep(0.05)  # to look is work, too, and the child is waiting for the same cores
    assert nightread.ends(nightread.started[0]) == 0, nightread.logs()
    assert len(seen) == 1
    assert evaluated, "the statistics were seen in it"
    assert largest <= CHILD_MIB << 20
    assert nightread.sql("SELECT scored, engines FROM progress") == [{"scored": 28, "engines": "openvino"}]
    assert (graph.stat().st_ino, graph.stat().st_mtime_ns) == (kept.st_ino, kept.st_mtime_ns)


@pytest.mark.cold
def test_a_killed_export_and_a_killed_child_cost_time_only(nightread: Nightread, phantoms: Path) -> None:
    run = score(nightread, phantoms)
    first = eventually(lambda: next(processes(run, "workers.inference.export"), None), 120)
    first.send_signal(signal.SIGKILL)  # its child cannot start, and its worker starts again
    second = eventually(
        lambda: next((p for p in processes(run, "workers.inference.export") if p != first), None), 120
    )
    child = eventually(lambda: next(processes(run, "billiard-fork"), None), 10)
    child.send_signal(signal.SIGKILL)  # a new one waits for nobody
    assert nightread.ends(nightread.started[0], 500) == 0, nightread.logs()
    assert nightread.sql("SELECT scored, engines FROM progress") == [{"scored": 28, "engines": "openvino"}]
    assert sorted(path.name for path in (nightread.home / "graphs" / "demo").iterdir()) == [
        "lock",
        "maps.graph",
    ]
    assert not second.is_running()
