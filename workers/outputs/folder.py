"""The folder below which runs' files are written, by all workers; a disk that takes none is waited for."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

from config.files import takes_nothing, write_whole
from jobs.errors import AwayError

log = logging.getLogger(__name__)

_PROBE_BYTES: Final = 1 << 20


class OutputAwayError(AwayError):
    """The folder of the outputs takes no file now, whichever: its disk is full, read-only, or away."""


class OutputFolder:
    """Writes files of one kind below the folder; used by many threads at once."""

    what: str
    """What is written, as messages name it: `an overlay`."""

    def __init__(self, folder: Path) -> None:
        """Take the folder; what lies below it is made when it is needed."""
        self._folder = folder
        self._refused = False

    def require(self) -> None:
        """Raise OutputAwayError if the disk refused the last file and takes none yet.

        It is asked before the work is done over again whose files it did not take.
        """
        if self._refused:
            with self._waited_for():
                self._folder.mkdir(parents=True, exist_ok=True)
                with TemporaryFile(dir=self._folder, buffering=0) as probe:
                    probe.write(bytes(_PROBE_BYTES))
            self._refused = False

    def _keep(self, run_id: int, path: str, make: Callable[[], bytes]) -> str | None:
        """Write a file, whole or not at all; returns its path, None where there cannot be one of that name.

        `make` returns its content, or raises OSError. It is not waited for until it is on the disk: a run has
        thousands. Raises OutputAwayError.
        """
        try:
            content = make()
            with self._waited_for():
                (self._folder / path).parent.mkdir(parents=True, exist_ok=True)
                write_whole(self._folder / path, content, durable=False)
        except OSError as error:
            reason = error.strerror or type(error).__name__  # the path may hold a patient's number
            log.warning("run %d: %s was not written: %s", run_id, self.what, reason)
            return None
        return path

    @contextmanager
    def _waited_for(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not takes_nothing(error):
                raise
            self._refused = True
            raise OutputAwayError(
                f"{self.what} cannot be written below {self._folder} now: {error.strerror}"
            ) from None
