"""One process of the bare forward pass: times an engine with and without maps, turn by turn; JSON.

Seconds by the clock and of the processor; only the clock includes time that the host gave to others.
"""

import json
import sys
import time
from typing import cast

import numpy as np

from config.cards.model import SHIPPED, read_model, require_classifier
from config.engines import EngineKind
from workers.inference.engine import make_engine
from workers.inference.pixels import prepare, test_pattern


def main(seconds: float, threads: int, kind: EngineKind) -> None:
    """Alternate between both until the time is over; prints the seconds per call, each of a full batch."""
    model = require_classifier(read_model(SHIPPED / "demo"))
    pixels = model.card.pixels
    engines = {
        name: make_engine(kind, model, threads=threads, maps=name == "maps") for name in ("bare", "maps")
    }
    batch = engines["bare"].batch
    inputs = np.stack([prepare(test_pattern(pixels.size), pixels)] * batch)
    print("ready", flush=True)
    sys.stdin.readline()  # all processes start together
    taken: dict[str, list[float]] = {name: [] for name in engines}
    worked: dict[str, list[float]] = {name: [] for name in engines}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name, engine in engines.items():
            begun, work = time.monotonic(), time.process_time()
            engine.infer(inputs)
            taken[name].append(time.monotonic() - begun)
            worked[name].append(time.process_time() - work)
    print(json.dumps({"batch": batch, "seconds": taken, "processor": worked}), flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]), cast(EngineKind, sys.argv[3]))
