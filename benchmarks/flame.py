"""Where a worker's child spends its time: a flame graph of one run, drawn into docs/flame.png.

Samples one child of `nightread score` on phantoms with py-spy (`pip install py-spy`; root or ptrace rights),
once its model is ready. A frame is as wide as its share of the samples in which its thread computed.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from bench import HERE, NIGHTREAD, archive
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PICTURE = HERE.parent / "docs" / "flame.png"
SAMPLES_A_SECOND = 250
HIDDEN = ("billiard/", "celery/", "<module>", "threading.py", "concurrent/", "contextlib.py")
"""Frames that stand below all others, or between two of ours, and say nothing."""
SHOWN_SHARE = 0.004
COLOURS = ("#E69F00", "#F0C24B", "#D98C5F", "#C9A66B", "#E8B27A")


@dataclass
class Frame:
    """A function of the stacks: its samples, with those of what it called."""

    name: str
    samples: int = 0
    called: dict[str, "Frame"] = field(default_factory=dict)

    def add(self, stack: list[str], samples: int) -> None:
        """Count a stack, its outermost function first."""
        self.samples += samples
        if stack:
            self.called.setdefault(stack[0], Frame(stack[0])).add(stack[1:], samples)


def child_of(command: psutil.Process, log: Path) -> int:
    """Wait until the one child of the command's worker has its model; gives its process id."""
    while not (log.exists() and " is ready on " in log.read_text()):
        if not command.is_running() or command.status() == psutil.STATUS_ZOMBIE:
            sys.exit(f"the run ended before it began; see {log}")
        time.sleep(0.2)
    found = (
        process for process in command.children(recursive=True) if "spawn_main" in " ".join(process.cmdline())
    )
    return next(found).pid


def sample(engine: str, seconds: int) -> Counter[str]:
    """Score phantoms and sample a child; gives how often each stack was seen, `outer;...;inner`."""
    with tempfile.TemporaryDirectory(prefix="nightread-flame-") as folder:
        home = Path(folder) / "home"
        manifest = archive(Path(folder) / "archive", 4_000)
        settings = {"NIGHTREAD_HOME": str(home), "NIGHTREAD_ENGINE": engine, "NIGHTREAD_THREADS": "1"}
        run = subprocess.Popen(
            [*NIGHTREAD, "score", manifest, "--images", manifest.parent / "images"],
            env=os.environ | settings | {"NIGHTREAD_CHILDREN": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            child = child_of(psutil.Process(run.pid), home / "logs" / "worker.log")
            stacks = Path(folder) / "stacks"
            subprocess.run(
                [
                    *("py-spy", "record", "--pid", str(child), "--duration", str(seconds), "--nonblocking"),
                    *("--rate", str(SAMPLES_A_SECOND), "--format", "raw", "--output", stacks),
                ],
                check=True,
                stdout=subprocess.DEVNULL,
            )
        finally:
            run.kill()
            run.wait()
        counted: Counter[str] = Counter()
        for line in stacks.read_text().splitlines():
            stack, _, samples = line.rpartition(" ")
            counted[stack] += int(samples)
        return counted


def tree(stacks: Counter[str]) -> Frame:
    """Put the stacks together, without the frames that say nothing."""
    whole = Frame("a worker's child")
    for stack, samples in stacks.items():
        frames = [frame for frame in stack.split(";") if not any(part in frame for part in HIDDEN)]
        whole.add([frame.rpartition(":")[0] + ")" if ":" in frame else frame for frame in frames], samples)
    return whole


def draw(axes: Axes, frame: Frame, left: float, depth: int, whole: int) -> int:
    """Draw a frame and what it called; gives how deep that went."""
    width = frame.samples / whole
    colour = COLOURS[zlib.crc32(frame.name.encode()) % len(COLOURS)]
    axes.barh(depth, width, left=left, height=1, align="edge", color=colour, edgecolor="white", linewidth=0.6)
    name = f"{frame.name}  {width:.1%}"
    letters = int(width * 190)
    if letters > 5:  # fewer tell nothing
        axes.text(left + 0.002, depth + 0.5, name[:letters], va="center", fontsize=6.5, clip_on=True)
    deepest = depth
    for callee in sorted(frame.called.values(), key=lambda called: called.name):
        if callee.samples / whole >= SHOWN_SHARE:
            deepest = max(deepest, draw(axes, callee, left, depth + 1, whole))
        left += callee.samples / whole
    return deepest


def main() -> None:
    """Sample a run and draw it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--seconds", type=int, default=30)
    options = parser.parse_args()
    whole = tree(sample(options.engine, options.seconds))
    figure = Figure(figsize=(12, 5), layout="constrained")
    axes = figure.add_subplot()
    deepest = draw(axes, whole, 0.0, 0, whole.samples)
    axes.set(xlim=(0, 1), ylim=(0, deepest + 1), xticks=[], yticks=[])
    axes.set_title(
        f"A worker's child on {options.engine}: shares of the time in which it computed", fontsize=9
    )
    axes.spines[:].set_visible(False)
    figure.savefig(PICTURE, dpi=130)
    print(f"{whole.samples} samples; {PICTURE}")


if __name__ == "__main__":
    main()
