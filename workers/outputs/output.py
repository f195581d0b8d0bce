"""What a run writes beside its rows, by the names of the kinds."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from workers.outputs.drawing import Drawing
from workers.outputs.overlays import Overlays


class Output(Protocol):
    """Writes files below one folder; used by many threads at once.

    Both raise OutputAwayError where the folder takes no file now, whichever: the batch is given back.
    """

    def require(self) -> None:
        """Look whether the folder takes files, if it took none the last time."""

    def write(self, drawing: Drawing) -> str | None:
        """Write one file, whole or not at all; returns its path below the folder, None if that fails.

        A file that fails for a reason of its own costs no scores: they are committed anyway.
        """


OUTPUTS: Final[dict[str, Callable[[Path], Output]]] = {
    "overlays": Overlays,
}
"""The kinds of output, each made with its folder."""
