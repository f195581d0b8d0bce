"""The cache of prepared pictures, where there is one: it can be written, and holds the archive."""

import shutil
from collections.abc import Iterator
from typing import Final

from config.cache import LEFT_FREE, cache_of
from jobs.doctor.disk import in_words
from jobs.doctor.home import unwritable
from jobs.doctor.mounts import existing
from jobs.doctor.verdict import Night, State, Verdict

_NAME: Final = "cache"

PICTURE_BYTES: Final = 370_000
"""A grey picture of 8 bits at 320 x 320, and what overlays are drawn on: 365 kB; one of 16 bits has 675."""


def ask(night: Night) -> Iterator[Verdict]:
    """Say how full it is, and why it would not help; nothing where none is wanted."""
    cache = cache_of(night.settings)
    if cache is None:
        return
    if refused := unwritable(cache.folder):
        advice = "let this user write there, or unset NIGHTREAD_CACHE_DIR"
        # A night goes on without it, only slower.
        yield Verdict(_NAME, State.WARNING, f"{cache.folder} {refused}", advice)
        return
    used = cache.used() or 0
    seen = f"{cache.folder}: {in_words(used)} of {in_words(cache.most_bytes)} are used"
    need = (night.images or 0) * PICTURE_BYTES
    spare = shutil.disk_usage(existing(cache.folder)).free - LEFT_FREE
    if need > cache.most_bytes:
        seen += f"; {night.images:,} images need about {in_words(need)}"
        advice = "raise NIGHTREAD_CACHE_BYTES: a picture would be gone before it is read again"
    elif spare < max(0, need - used):
        seen += f"; its disk has {in_words(max(0, spare))} for it"
        advice = "free space on its disk, or set NIGHTREAD_CACHE_DIR to another; it leaves 1 GiB free"
    else:
        yield Verdict(_NAME, State.OK, seen)
        return
    yield Verdict(_NAME, State.WARNING, seen, advice)
