"""The process in which a brought model computes: bounded, without a network, and ended by its caller.

Started as `python -m workers.models.original_process WANTED SOURCE CONTAINER FOLDER`. WANTED `scores`: FOLDER
holds `inputs.npy` (N, size, size, channels) float32; `outputs.npy` (N, outputs) and `layers.json` are written
to it. WANTED `arrays`: `arrays.npz` is written to it.
"""

import ctypes
import json
import resource
import sys
from pathlib import Path
from typing import Final

import numpy as np

from workers.models.original_runs import arrays_in, run

_MEMORY_BYTES: Final = 8 * 2**30
_FILE_BYTES: Final = 2**30
_PROCESSOR_SECONDS: Final = 1200
_NEW_NETWORK: Final = 0x40000000  # CLONE_NEWNET of Linux' sched.h
_NEW_USER: Final = 0x10000000  # CLONE_NEWUSER
_FORBIDDEN: Final = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo",
                     "subprocess.Popen", "os.exec", "os.posix_spawn", "os.system", "os.fork")  # fmt: skip


def main() -> None:
    """Bound this process, then open or run the model in it."""
    wanted, source, container, folder = sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4])
    bound()
    if wanted == "arrays":
        np.savez(folder / "arrays.npz", allow_pickle=False, **arrays_in(source))
        return
    inputs = np.load(folder / "inputs.npy", allow_pickle=False)
    outputs, layers = run(source, container, folder, inputs)
    np.save(folder / "outputs.npy", outputs)
    (folder / "layers.json").write_text(json.dumps(layers), encoding="utf-8")


def bound() -> None:
    """Limit memory and processor time, and cut the network off.

    Linux gives the process an empty network where it may (as root, or with user namespaces). Everywhere,
    Python refuses connections and further processes; code of its own in C is stopped by the first alone.
    """
    _lower(resource.RLIMIT_DATA, _MEMORY_BYTES)
    _lower(resource.RLIMIT_CPU, _PROCESSOR_SECONDS)
    _lower(resource.RLIMIT_FSIZE, _FILE_BYTES)
    unshare = getattr(ctypes.CDLL(None, use_errno=True), "unshare", None)
    if unshare is not None and unshare(_NEW_NETWORK) != 0:
        unshare(_NEW_NETWORK | _NEW_USER)
    sys.addaudithook(_refuse)


def _lower(limit: int, wanted: int) -> None:
    _, hard = resource.getrlimit(limit)
    value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(limit, (value, value))


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event in _FORBIDDEN:
        raise PermissionError(f"a model that is compared may not do this: {event} {arguments!r:.80}")


if __name__ == "__main__":
    main()
