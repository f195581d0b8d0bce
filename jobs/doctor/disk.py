"""Space for what a night writes: rows and maps beside the database, overlays below their folder."""

import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from jobs.doctor.home import sqlite_file
from jobs.doctor.mounts import existing
from jobs.doctor.verdict import Night, State, Verdict

ROW_BYTES: Final = 6_000
"""An image's scores and maps in SQLite, with its share of the log: 2,800 of maps, the rest of rows."""

OVERLAY_BYTES: Final = 100_000
"""An image's overlays: six of 14 kB each were measured with the demo's model, over real radiographs."""

_LEAST: Final = 100 << 20
_PLENTY: Final = 1 << 30
_GB: Final = 1e9
_ROOM: Final = 1.25
"""Of what is needed, as images differ and logs grow."""


def ask(night: Night) -> Iterator[Verdict]:
    """Compare what the images will need with what is free, on each disk that is written to."""
    settings = night.settings
    needs: dict[Path, int] = defaultdict(int)
    images = night.images or 0
    needs[(sqlite_file(settings) or settings.home / "logs").absolute()] += images * ROW_BYTES
    needs[settings.overlays] += images * OVERLAY_BYTES
    disks: dict[int, tuple[Path, int]] = {}
    for path, need in needs.items():
        place = existing(path)
        device = place.stat().st_dev
        first, so_far = disks.get(device, (place, 0))
        disks[device] = (first, so_far + need)
    for place, need in disks.values():
        yield _verdict(place, need, night.images)


def _verdict(place: Path, need: int, images: int | None) -> Verdict:
    free = shutil.disk_usage(place).free
    seen = f"{in_words(free)} free at {place}"
    if images is not None:
        seen += f"; {images:,} images need about {in_words(need)}"
    if free < max(need, _LEAST):
        state = State.FAULT
    elif free < max(need * _ROOM, _PLENTY):
        state = State.WARNING
    else:
        return Verdict("disk space", State.OK, seen)
    return Verdict(
        "disk space",
        state,
        seen,
        "free space, use a larger disk (NIGHTREAD_HOME, NIGHTREAD_HEATMAP_DIR), or --heatmaps none",
    )


def in_words(count: int) -> str:
    """Return bytes as a person reads them."""
    return f"{count / _GB:,.1f} GB" if count >= _GB else f"{1000 * count / _GB:,.0f} MB"
