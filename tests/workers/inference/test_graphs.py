"""Exported networks are kept whole, checked, and made again where they are not right."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support import ROOT, eventually

from config.errors import ConfigError
from workers.inference import graphs
from workers.inference.graphs import Export, Graph, use_graph

MADE = Graph(b"<net/>", b"\0\1\2\n" * 1000)
EXPORT = Export("nobody:calls_this", {}, {"card": "a" * 64, "batch": 8})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "graphs" / "demo" / "maps.graph"


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> list[Export]:
    """What was exported; in place of a process that loads TensorFlow."""
    asked: list[Export] = []

    def export(wanted: Export) -> Graph:
        asked.append(wanted)
        return MADE

    monkeypatch.setattr(graphs, "_export", export)
    return asked


def given(graph: Graph) -> Graph:
    return graph


def test_a_graph_is_exported_once_and_then_read(path: Path, exports: list[Export]) -> None:
    assert [use_graph(path, EXPORT, given) for _ in range(3)] == [MADE] * 3
    assert exports == [EXPORT]
    assert path.stat().st_mode & 0o777 == 0o644
    assert sorted(file.name for file in path.parent.iterdir()) == ["lock", "maps.graph"]


def test_without_a_folder_nothing_is_kept(exports: list[Export]) -> None:
    assert [use_graph(None, EXPORT, given) for _ in range(2)] == [MADE] * 2
    assert len(exports) == 2


@pytest.mark.parametrize("facts", [{"card": "b" * 64, "batch": 8}, {"card": "a" * 64, "batch": 4}, {}])
def test_a_graph_of_another_model_or_batch_is_made_again(
    path: Path, exports: list[Export], facts: dict[str, str | int]
) -> None:
    other = Export(EXPORT.function, {}, facts)
    use_graph(path, other, given)
    assert use_graph(path, EXPORT, given) == MADE
    assert exports == [other, EXPORT]
    use_graph(path, EXPORT, given)
    assert len(exports) == 2  # the one that is kept now is ours


@pytest.mark.parametrize("what", ["tensorflow", "keras", "openvino", "code"])
def test_a_graph_of_another_version_is_made_again(
    path: Path, exports: list[Export], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    use_graph(path, EXPORT, given)
    versions = graphs._made_with() | {what: "another"}
    monkeypatch.setattr(graphs, "_made_with", lambda: versions)
    use_graph(path, EXPORT, given)
    assert len(exports) == 2


def cut(content: bytes) -> bytes:
    return content[:-100]


def flipped(content: bytes) -> bytes:
    return content[:-100] + bytes([content[-100] ^ 1]) + content[-99:]


def longer(content: bytes) -> bytes:
    return content + b"more"


def renamed(content: bytes) -> bytes:
    return b"x" + content[1:]


def facts_cut(content: bytes) -> bytes:
    return content[:120]


def empty(_: bytes) -> bytes:
    return b""


def of_no_length(content: bytes) -> bytes:
    return content.replace(b'"xml_bytes": 6', b'"xml_bytes": -6')


def a_list(content: bytes) -> bytes:
    return content.split(b"\n")[0] + b"\n[1]\n"


@pytest.mark.parametrize(
    "damage",
    [cut, flipped, longer, renamed, facts_cut, empty, of_no_length, a_list],
    ids=lambda f: f.__name__,
)
def test_a_damaged_graph_is_named_and_made_again(
    path: Path, exports: list[Export], caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    use_graph(path, EXPORT, given)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert use_graph(path, EXPORT, given) == MADE
    assert len(exports) == 2
    assert str(path) in caplog.text
    assert path.read_bytes() == whole


@pytest.mark.parametrize("error", [RuntimeError("no such operation"), ConfigError("for the pattern 0.1")])
def test_a_kept_graph_that_is_refused_is_made_again(
    path: Path, exports: list[Export], caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    use_graph(path, EXPORT, given)
    refusals = [error]

    def use(graph: Graph) -> Graph:
        if refusals:
            raise refusals.pop()
        return graph

    assert use_graph(path, EXPORT, use) == MADE
    assert len(exports) == 2
    assert f"{path}: is not used, and is made again: {error}" in caplog.text


def test_a_graph_that_is_refused_although_it_is_new_is_an_error(path: Path, exports: list[Export]) -> None:
    def use(_: Graph) -> None:
        raise ConfigError("other scores than the card's")

    for _ in range(2):  # exported now, and kept
        with pytest.raises(ConfigError, match="than the card's"):
            use_graph(path, EXPORT, use)
    assert len(exports) == 2


def test_a_folder_that_cannot_be_written_costs_time_and_says_so(
    tmp_path: Path, exports: list[Export], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    below = tmp_path / "file" / "demo" / "maps.graph"
    assert [use_graph(below, EXPORT, given) for _ in range(2)] == [MADE] * 2
    assert len(exports) == 2
    assert f"{below}: the exported network cannot be kept" in caplog.text


def test_a_full_disk_costs_time_and_leaves_no_half_graph(
    path: Path, exports: list[Export], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert not exports

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28), str(path))

    monkeypatch.setattr(graphs, "write_whole", full)
    assert use_graph(path, EXPORT, given) == MADE
    assert "No space left" in caplog.text
    assert not path.exists()


def test_of_several_that_start_at_once_one_exports(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()
    exported = []

    def export(_: Export) -> Graph:
        exported.append(1)
        begun.release()
        assert go_on.wait(30)
        return MADE

    monkeypatch.setattr(graphs, "_export", export)
    found: list[Graph] = []
    starting = [
        threading.Thread(target=lambda: found.append(use_graph(path, EXPORT, given))) for _ in range(4)
    ]
    for thread in starting:
        thread.start()
    assert begun.acquire(timeout=30)
    go_on.set()
    for thread in starting:
        thread.join(30)
    assert found == [MADE] * 4
    assert exported == [1]


# --- the process that exports ------------------------------------------------------------------------------


@pytest.mark.processes
def test_an_export_that_fails_says_why(path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)ended with 1: .*No module named 'nobody'"):
        use_graph(path, EXPORT, given)
    assert not path.exists()


WRITER = """
import sys
from pathlib import Path
from config import files
from workers.inference import graphs
made = graphs.Graph(b"<net/>", bytes(30_000_000))
graphs._export = lambda _: made
export = graphs.Export("nobody:calls_this", {}, {"card": "a" * 64, "batch": 8})
path = Path(sys.argv[1])
print("ready", flush=True)
while True:
    path.unlink(missing_ok=True)
    assert graphs.use_graph(path, export, lambda graph: graph) == made
    print("written", flush=True)
"""


@pytest.mark.processes
@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_writer_killed_at_any_time_leaves_a_whole_graph_or_none(
    path: Path, exports: list[Export], after: int
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as writer:
        assert writer.stdout is not None
        for _ in range(after + 1):
            assert writer.stdout.readline()
        # In the middle of a write: its scratch file is there.
        eventually(lambda: any(file.name.startswith(".") for file in path.parent.glob(".*")), 30)
        writer.send_signal(signal.SIGKILL)
    kept = graphs._read(path, {**EXPORT.facts, **graphs._made_with()})
    assert kept is None or kept == Graph(b"<net/>", bytes(30_000_000))
    # The lock went with its holder.
    path.unlink(missing_ok=True)
    assert use_graph(path, EXPORT, given) == MADE
    assert exports == [EXPORT]
    assert sorted(file.name for file in path.parent.iterdir()) == ["lock", "maps.graph"]


@pytest.mark.processes
def test_openvino_tells_nobody_that_it_is_used(tmp_path: Path) -> None:
    program = """
import json, os, sys
events = []
sys.addaudithook(lambda event, _: events.append(event) if event.startswith("socket.") else None)
from workers.inference.openvino_import import import_openvino
import_openvino().convert_model
import threading
print(json.dumps([events, sorted(m for m in sys.modules if m.startswith("openvino_telemetry.")),
      [t.name for t in threading.enumerate()], os.listdir(os.environ["HOME"])]))
"""
    found = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"HOME": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(found.stdout) == [[], [], ["MainThread"], []]
