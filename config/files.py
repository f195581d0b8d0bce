"""Writing files that appear whole or not at all, however the process ends."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp
from typing import Final

from config.errors import ConfigError

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_AWAY: Final = frozenset(
    {
        *(errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENODEV),
        *(errno.EMFILE, errno.ENFILE),
    }
)
"""What befalls every file of a network's share whose server is gone, and of a process with too many open."""


def is_full(error: OSError) -> bool:
    """Return whether there is no space for a file: the same command works later, or with another disk."""
    return error.errno in _FULL


def is_away(error: OSError) -> bool:
    """Return whether no file of a folder can be opened now, whichever."""
    return error.errno in _AWAY


def takes_nothing(error: OSError) -> bool:
    """Return whether no file can be written to a folder now, whichever: its disk is full, away or fails."""
    return is_full(error) or is_away(error) or error.errno in {errno.EROFS, errno.EIO}


@contextmanager
def whole_file(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Return a file beside `path` to write to, which takes its place in one step at the end; raises OSError.

    A full disk leaves what was there before. The file is readable by everybody, as one that a program writes
    usually is. `durable`: on the disk before it takes its place, so that a power failure leaves no half file
    either.
    """
    require_replaceable(path)
    # A short name: the file's own may already be as long as the file system allows.
    handle, name = mkstemp(dir=path.parent, prefix=".")
    os.close(handle)
    scratch = Path(name)
    try:
        yield scratch
        if durable:
            with scratch.open("rb+") as written:
                os.fsync(written.fileno())
        scratch.chmod(0o644)
        scratch.replace(path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        # Who is told wants to know the file that he named.
        what = os.strerror(error.errno) if error.errno else str(error)
        raise OSError(error.errno, what, str(path)) from error
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write a file as `whole_file` does; raises OSError."""
    with whole_file(path, durable=durable) as scratch:
        scratch.write_bytes(content)


def make_home(folder: Path, named_by: str) -> None:
    """Make a folder that will hold patients' data, closed to the machine's other users, unless it is there.

    Raises ConfigError; `named_by` says there what names the folder.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be made: {error.strerror or error}; {named_by}") from error


def require_replaceable(path: Path) -> None:
    """Raise OSError for a device, a pipe or a socket: a file in its place would take it from the machine.

    Run by root, `-o /dev/null` would leave all programs without it.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EEXIST, "it is a device or a pipe, and no file is put in its place", str(path))


def run_folder(run_id: int) -> str:
    """Name the folder of a run's overlays, below the one of all overlays."""
    return f"run-{run_id:06d}"
