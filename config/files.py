"""Writing files that appear whole or not at all, however the process ends."""

import errno
from pathlib import Path
from tempfile import NamedTemporaryFile


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place and move it there in one step, over what was there; raises OSError.

    It is readable by everybody, as a file that a program writes usually is.
    """
    require_replaceable(path)
    # A short name: the file's own may already be as long as the file system allows.
    with NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as scratch:
        try:
            scratch.write(content)
            scratch.close()
            Path(scratch.name).chmod(0o644)
            Path(scratch.name).replace(path)
        except BaseException:
            Path(scratch.name).unlink(missing_ok=True)
            raise


def require_replaceable(path: Path) -> None:
    """Raise OSError for a device, a pipe or a socket: a file in its place would take it from the machine.

    Run by root, `-o /dev/null` would leave all programs without it.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EEXIST, "it is a device or a pipe, and no file is put in its place", str(path))
