"""What the C library does with the memory that a worker's child has freed."""

import ctypes
from contextlib import suppress
from typing import Final

# For mallopt: which blocks are requested from the kernel one by one, how much free memory is kept, in how
# many heaps.
_M_MMAP_THRESHOLD: Final = (-3, 32 << 20)
_M_TRIM_THRESHOLD: Final = (-1, 64 << 20)
_M_ARENA_MAX: Final = -8
_LEAST_HEAPS: Final = 2


def keep_freed_memory(threads: int) -> None:
    """Keep the memory that one picture's buffers freed for the next picture's.

    The C library would return each megabyte, and the kernel clear 650 pages per picture: a quarter of the
    decoding. It is kept in as many heaps as there are threads that decode, as each thread that reads would
    get its own.
    """
    with suppress(AttributeError):  # not glibc
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(*_M_MMAP_THRESHOLD)
        mallopt(*_M_TRIM_THRESHOLD)
        mallopt(_M_ARENA_MAX, max(_LEAST_HEAPS, threads))


def return_freed_memory() -> None:
    """Return to the kernel what has been kept, after work that took more than pictures do."""
    with suppress(AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)
