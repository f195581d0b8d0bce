"""What a run writes beside its rows, by the names of the kinds."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from workers.outputs.drawing import Drawing
from workers.outputs.overlays import Overlays


class Output(Protocol):
    """Writes files below one folder; used by many threads at once."""

    def write(self, drawing: Drawing) -> str | None:
        """Write one file, whole or not at all; returns its path below the folder, None if that fails.

        A missing file costs no scores: they are committed anyway.
        """


OUTPUTS: Final[dict[str, Callable[[Path], Output]]] = {
    "overlays": Overlays,
}
"""The kinds of output, each made with its folder."""
