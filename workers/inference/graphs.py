"""Networks as graphs for OpenVINO: exported from TensorFlow once, kept, and read by all later processes.

To export one takes ten seconds and a gigabyte, for TensorFlow. It is done in a process of its own, so that
whoever runs the graph never loads TensorFlow.
"""

import fcntl
import hashlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

from config.errors import ConfigError
from config.files import write_whole

log = logging.getLogger(__name__)

T = TypeVar("T")

EXIT_REFUSED: Final = 2
"""Of a process that exports: the model is not what its card says."""

_MAGIC: Final = b"nightread-graph"
_FIRST_LINE: Final = len(_MAGIC) + 1 + 64 + 1
_LONGEST_FACTS: Final = 1 << 16
_SECONDS: Final = 600
_LONGEST_ERROR: Final = 2000  # characters


@dataclass(frozen=True, slots=True)
class Graph:
    """A network in OpenVINO's intermediate representation: its description and its constants."""

    xml: bytes
    constants: bytes


@dataclass(frozen=True, slots=True)
class Export:
    """How a graph is made.

    `function`: the name, as module:function, of what returns TensorFlow's concrete function when it is called
    with `arguments`, which JSON can carry. `facts`: what tells this graph from others of the same path.
    """

    function: str
    arguments: Mapping[str, Any]
    facts: Mapping[str, str | int]


def use_graph(path: Path | None, export: Export, use: Callable[[Graph], T]) -> T:
    """Return what `use` makes of the graph that is kept at `path`, or of one that is exported now and kept.

    A kept one that is damaged, of other facts, or that `use` refuses with RuntimeError or ConfigError, is
    exported again. None as `path`: it is not kept. A path that cannot be written to costs time only.
    """
    facts = {**export.facts, **_made_with()}
    kept = _read(path, facts)
    if kept is None:
        with _alone(path):
            # Another process may have exported it while this one waited.
            kept = _read(path, facts)
            if kept is None:
                return use(_exported(path, export, facts))
    try:
        return use(kept)
    except (RuntimeError, ConfigError) as error:
        log.warning("%s: is not used, and is made again: %s", path, error)
    with _alone(path):
        return use(_exported(path, export, facts))


def _exported(path: Path | None, export: Export, facts: Mapping[str, str | int]) -> Graph:
    """Export a graph, and keep it where that is possible."""
    log.info("exporting the network for OpenVINO, which takes a while; later starts do without")
    graph = _export(export)
    if path is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, _packed(graph, facts))
        except OSError as error:
            log.warning(
                "%s: the exported network cannot be kept, and each start exports it again: %s",
                path,
                error.strerror or error,
            )
    return graph


def _export(export: Export) -> Graph:
    command = [sys.executable, "-P", "-m", "workers.inference.export", export.function]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        # In float32, and without a GPU's memory.
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    try:
        done = subprocess.run(
            command,
            input=json.dumps(export.arguments).encode(),
            env=environment,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            # Ctrl-C reaches a terminal's whole group, and its parent alone decides how to end.
            start_new_session=True,
        )
    except subprocess.TimeoutExpired as error:
        raise RuntimeError(f"the network was not exported in {_SECONDS} s") from error
    said = done.stderr.decode(errors="replace").strip()[-_LONGEST_ERROR:]
    if done.returncode == EXIT_REFUSED:
        raise ConfigError(said.rpartition("\n")[2])
    if done.returncode != 0:
        raise RuntimeError(f"the network's export ended with {done.returncode}: {said}")
    length, _, rest = done.stdout.partition(b"\n")
    return Graph(rest[: int(length)], rest[int(length) :])


@cache
def _made_with() -> dict[str, str]:
    """Return what every graph depends on: the libraries that make and read it, and our own code."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(file.read_bytes())
    return {name: version(name) for name in ("tensorflow", "keras", "openvino")} | {
        "code": digest.hexdigest()
    }


def _packed(graph: Graph, facts: Mapping[str, str | int]) -> bytes:
    """Return a graph as a file: a line with the hash of all that follows, a line of facts, and the graph."""
    lengths = {"xml_bytes": len(graph.xml), "constants_bytes": len(graph.constants)}
    line = json.dumps({**facts, **lengths}, sort_keys=True).encode() + b"\n"
    digest = hashlib.sha256(line)
    digest.update(graph.xml)
    digest.update(graph.constants)
    return b"".join((_MAGIC, b" ", digest.hexdigest().encode(), b"\n", line, graph.xml, graph.constants))


def _read(path: Path | None, facts: Mapping[str, str | int]) -> Graph | None:
    """Return the graph at a path; None where there is none of these facts, or it is damaged."""
    if path is None:
        return None
    try:
        with path.open("rb") as file:
            return _unpacked(file, path.stat().st_size, facts)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s: is not used, and is made again: %s", path, error)
        return None


def _unpacked(file: BinaryIO, size: int, facts: Mapping[str, str | int]) -> Graph | None:
    """Read a packed graph; ValueError where it is damaged, None where its facts are others."""
    first = file.readline(_FIRST_LINE)
    line = file.readline(_LONGEST_FACTS)
    found = json.loads(line)
    xml_bytes, constants_bytes = int(found.pop("xml_bytes")), int(found.pop("constants_bytes"))
    if found != facts:
        return None
    # Before anything is read that may be of any size.
    if len(first) + len(line) + xml_bytes + constants_bytes != size:
        raise ValueError("it is cut, or longer than it says")
    graph = Graph(file.read(xml_bytes), file.read(constants_bytes))
    digest = hashlib.sha256(line)
    digest.update(graph.xml)
    digest.update(graph.constants)
    if first != b"%s %s\n" % (_MAGIC, digest.hexdigest().encode()):
        raise ValueError("its hash is another: it is damaged")
    return graph


@contextmanager
def _alone(path: Path | None) -> Iterator[None]:
    """Let one process at a time export to a path's folder: the others read what it made.

    Where no lock can be had, each of them exports for itself: that costs time and memory only.
    """
    if path is None:
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = (path.parent / "lock").open("wb")
    except OSError:
        yield
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for left in path.parent.glob(".*"):  # by a process that was killed while it wrote
                left.unlink(missing_ok=True)
        except OSError as error:
            log.debug("%s: cannot be locked: %s", path, error)
        yield
