"""Writing files that appear whole or not at all, however the process ends."""

from pathlib import Path
from tempfile import NamedTemporaryFile


def write_whole(path: Path, content: bytes) -> None:
    """Write a file beside its place and move it there in one step, over what was there; raises OSError.

    It is readable by everybody, as a file that a program writes usually is.
    """
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
