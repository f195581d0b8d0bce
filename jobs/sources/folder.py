"""Images in a folder: read below it and nowhere else, whatever a manifest or a link says."""

import errno
import os
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from config.content import Content
from config.failures import ImageUnusableError, Reason
from config.files import is_away
from jobs.errors import SourceAwayError, SourceError
from jobs.sources.lookup import Lookup, look_up
from jobs.sources.parts import bounded_parts


class FolderSource:
    """A folder of images, named by its path or as file:///path."""

    only_dicom = False
    readers: Final = 2

    def __init__(self, root: str | Path) -> None:
        """Take the folder; `require` checks that it is there."""
        # Unlike Path.resolve, it leaves a link that leads to itself as it is: `require` says what is wrong.
        self._folder = Path(os.path.realpath(str(root).removeprefix("file://")))
        self.root = str(self._folder)

    def require(self) -> None:
        """Raise SourceError unless the folder is there and may be listed."""
        try:
            with os.scandir(self._folder):
                pass
        except FileNotFoundError:
            raise SourceError(f"{self.root}: there is no such folder of images; see --images") from None
        except NotADirectoryError:
            raise SourceError(f"{self.root} is a file, no folder of images; see --images") from None
        except OSError as error:
            raise SourceError(f"{self.root}: the folder of images cannot be read: {error.strerror}") from None

    def look_up(self, names: Collection[str]) -> Lookup:
        """Find the names without a file below the folder, and what may be meant."""
        return look_up(self._folder, names)

    def parts(self, name: str) -> Sequence[str]:
        """Return the files of a folder and of those below it, to which no link is followed."""
        root = os.path.realpath(self._folder)
        path = Path(root, name)
        # What is no folder, leaves the root or cannot be looked at now is told by `read`.
        if not os.path.isdir(path) or not Path(os.path.realpath(path)).is_relative_to(root):  # noqa: PTH112
            return (name,)
        try:
            return bounded_parts(str(Path(name, file)) for file in _files_below(path))
        except OSError as error:
            _refuse_away(Path(root), error)
            raise ImageUnusableError(Reason.UNREADABLE, f"cannot be listed: {error.strerror}") from None

    def read(self, name: str, max_bytes: int) -> Content:
        """Read one file that really lies below the folder; see `opened`."""
        with self.opened(name) as file:
            status = os.fstat(file.fileno())
            size = status.st_size
            if size > max_bytes:
                raise ImageUnusableError(Reason.TOO_LARGE, f"the file has {size:,} bytes")
            # Not more, should it grow.
            return Content(file.read(size), _tag(status))

    def tag(self, name: str) -> str | None:
        """Return the tag of a file that can be opened, None of any other."""
        try:
            with self.opened(name) as file:
                return _tag(os.fstat(file.fileno()))
        except ImageUnusableError:
            return None

    @contextmanager
    def opened(self, name: str) -> Iterator[BinaryIO]:
        """Open one file that really lies below the folder.

        Symbolic links are followed within the folder and refused where they leave it. The opened file is
        checked once more, so that a link swapped after the first check opens nothing else. Raises
        ImageUnusableError, also where reading it fails, and SourceAwayError where no file could be read now.
        """
        root = Path(os.path.realpath(self._folder))
        descriptor = _open_below(root, name)
        try:
            opened = Path(f"/proc/self/fd/{descriptor}")
            if opened.parent.is_dir() and not Path(os.path.realpath(opened)).is_relative_to(root):
                raise _outside()
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ImageUnusableError(Reason.NOT_A_FILE, "is a folder or a device, not a file")
            if status.st_size == 0:
                raise ImageUnusableError(Reason.EMPTY, "the file has 0 bytes")
            # Only now, as fdopen refuses a folder with an error of its own.
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                yield file
        except OSError as error:
            _refuse_away(root, error)
            raise ImageUnusableError(Reason.UNREADABLE, f"cannot be read: {error.strerror}") from None
        finally:
            os.close(descriptor)


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield the paths of all files below a folder, from there; raises OSError."""

    def refuse(error: OSError) -> None:
        raise error

    for path, _, files in os.walk(folder, onerror=refuse):
        below = Path(path).relative_to(folder)
        yield from (below / file for file in files)


def _open_below(root: Path, name: str) -> int:
    """Open what a name means below `root`; returns the descriptor."""
    try:
        path = Path(os.path.realpath(root / name))
        if path.is_relative_to(root):
            # O_NONBLOCK: opening a named pipe must not wait for a writer.
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except ValueError:  # a NUL or half of a surrogate pair
        raise ImageUnusableError(Reason.MISSING, "no file can have such a name") from None
    except FileNotFoundError as error:
        if not root.is_dir():
            raise SourceAwayError(f"{root}: the folder of images is not there now") from error
        raise ImageUnusableError(Reason.MISSING, "there is no such file below the images' folder") from None
    except NotADirectoryError:
        raise ImageUnusableError(Reason.MISSING, "a part of its path is a file, not a folder") from None
    except OSError as error:
        _refuse_away(root, error)
        if error.errno == errno.ENXIO:
            raise ImageUnusableError(
                Reason.NOT_A_FILE, "is a socket, or a device that is not there"
            ) from None
        reason = Reason.MISSING if error.errno == errno.ENAMETOOLONG else Reason.UNREADABLE
        raise ImageUnusableError(reason, f"cannot be opened: {error.strerror}") from None
    raise _outside()


def _refuse_away(root: Path, error: OSError) -> None:
    """Raise SourceAwayError for what is not one file's own."""
    if is_away(error):
        raise SourceAwayError(f"{root}: the folder of images cannot be read now: {error.strerror}") from None


def _tag(status: os.stat_result) -> str:
    return f"{status.st_size}-{status.st_mtime_ns}"


def _outside() -> ImageUnusableError:
    return ImageUnusableError(Reason.OUTSIDE_ROOT, "its path leaves the images' folder")
