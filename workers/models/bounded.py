"""Let a brought file compute in a process of its own: bounded, without a network, for a limited time."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

_SECONDS: Final = 300
_LONGEST_ERROR: Final = 2000  # bytes
# What the process needs of its caller's environment: no address or password of a server is among it.
_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")


class OriginalError(Exception):
    """The original cannot be run here."""


def scores_of(
    source: Path, container: str, inputs: NDArray[np.float32]
) -> tuple[NDArray[np.float64], list[str]]:
    """Return a file's scores (N, outputs) for prepared pictures (N, size, size, channels), and its layers.

    `container`: the path of keys to its module. Raises OriginalError where it does not run here.
    """
    with _scratch() as folder:
        np.save(folder / "inputs.npy", inputs)
        _run("scores", source, container, folder)
        layers: list[str] = json.loads((folder / "layers.json").read_text(encoding="utf-8"))
        return np.load(folder / "outputs.npy", allow_pickle=False), layers


def arrays_of(source: Path) -> dict[str, NDArray[np.float32]]:
    """Return the arrays of a program by their keys, in its order; OriginalError where it cannot be opened."""
    with _scratch() as folder:
        _run("arrays", source, "", folder)
        with np.load(folder / "arrays.npz", allow_pickle=False) as stored:
            return dict(stored)


@contextmanager
def _scratch() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="nightread-original-") as scratch:
        yield Path(scratch)


def _run(wanted: str, source: Path, container: str, folder: Path) -> None:
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    environment |= {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "KERAS_BACKEND": "tensorflow",
    }
    command = [sys.executable, "-P", "-m", "workers.models.original_process",
               wanted, str(source.resolve()), container, str(folder)]  # fmt: skip
    errors = folder / "errors.txt"
    try:
        with errors.open("wb") as file:
            done = subprocess.run(
                command, env=environment, cwd=folder, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=file, timeout=_SECONDS, check=False,
                start_new_session=True,
            )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise OriginalError(f"it did not answer in {_SECONDS} s") from error
    if done.returncode != 0:
        raise OriginalError(_last_line(errors) or f"it ended with {done.returncode}")


def _last_line(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _LONGEST_ERROR))
        text = file.read().decode(errors="replace")
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")
