"""What the C library does with the memory that a worker's child has freed."""

import ctypes
from contextlib import suppress
from typing import Final

# For mallopt: which blocks are requested from the kernel one by one, in how many heaps the others lie, and
# how much free memory is kept.
_M_MMAP_THRESHOLD: Final = (-3, 32 << 20)
_M_ARENA_MAX: Final = (-8, 1)
_M_TRIM_THRESHOLD: Final = -1
_KEPT_BYTES: Final = 64 << 20
_MOST_KEPT_BYTES: Final = 1 << 30


def keep_freed_memory(threads: int) -> None:
    """Keep the memory that one picture's buffers freed for the next picture's.

    The C library would return each megabyte, and the kernel clear 650 pages per picture: a quarter of the
    decoding. `threads`: of the child's network. There is one heap: a thread's own has 64 MiB at most, which
    two films outgrow, and what is beyond is given back to the kernel and cleared anew for each of them.
    """
    with suppress(AttributeError):  # not glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(*_M_MMAP_THRESHOLD)
        mallopt(*_M_ARENA_MAX)
        mallopt(_M_TRIM_THRESHOLD, min(_KEPT_BYTES * threads, _MOST_KEPT_BYTES))


def return_freed_memory() -> None:
    """Return to the kernel what has been kept, after work that took more than pictures do."""
    with suppress(AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)
