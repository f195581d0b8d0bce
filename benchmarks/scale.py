"""Whether an image takes as long in an archive of a million as in one of ten thousand; writes a plot.

With the stub network, on PostgreSQL and Redis, one worker: queue and database alone. Prints, for each size,
images per second and the memory that the worker's children hold at the end; `docs/scale.png` is the plot.
"""

import os
import subprocess
import sys
from pathlib import Path

import psutil
from bench import CORES, HERE, rate_of_run, run, servers, start_worker, stop, write_stub
from matplotlib.figure import Figure


def measure(images: int) -> tuple[float, float]:
    """Return the images/s of a run of this many images, and the largest child's resident MB after it."""
    with servers() as settings:
        home = Path(settings["NIGHTREAD_HOME"])
        write_stub(home)
        run("db", "upgrade", **settings)
        manifest = home / "manifest.csv"
        with manifest.open("w") as file:
            file.write("Image\n")
            file.writelines(f"{number:07d}.png\n" for number in range(images))
        worker = start_worker(settings, "stub", CORES, "stub")
        try:
            command: list[str | Path] = [
                sys.executable,
                "-m",
                "workers.commands.main",
                "score",
                manifest,
                "--images",
                home,
                "--model",
                "stub",
            ]
            subprocess.run(command, env=os.environ | settings, check=True, stdout=subprocess.DEVNULL)
            children = psutil.Process(worker.pid).children()
            return rate_of_run("1", **settings), max(child.memory_info().rss for child in children) / 1e6
        finally:
            stop(worker)


def main(sizes: list[int]) -> None:
    """Measure the sizes one after the other and plot them."""
    found = []
    for size in sizes:
        rate, megabytes = measure(size)
        print(f"{size:>9,} images: {rate:6,.0f} images/s, {1e3 / rate:.3f} ms each, {megabytes:.0f} MB/child")
        found.append(1e3 / rate)
    draw(sizes, found)


def draw(sizes: list[int], found: list[float]) -> None:
    """Draw milliseconds per image over the sizes into docs/scale.png."""
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.add_subplot()
    axes.semilogx(sizes, found, marker="o", color="#0072B2")
    axes.set(
        ylim=(0, 1.3 * max(found)),
        xlabel="images in the archive",
        ylabel="ms per image",
        title="Queue and database, stub network",
    )
    axes.grid(alpha=0.3)
    figure.savefig(HERE.parent / "docs" / "scale.png", dpi=110)


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]] or [10_000, 30_000, 100_000, 300_000, 1_000_000])
