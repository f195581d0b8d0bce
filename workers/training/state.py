"""What a training keeps on disk after each epoch."""

import json
from pathlib import Path
from typing import Final

import numpy as np

from config.errors import ConfigError
from workers.inference.networks.network import KerasModel
from workers.inference.weights import save_weights
from workers.training.plan import Epoch

STATE_FILE: Final = "training.json"
LAST_FILE: Final = "last.weights.h5"
_NEW_BEST: Final = "new-best.npz"


class State:
    """What a training keeps on disk, so that it continues at the epoch where it was stopped."""

    def __init__(self, folder: Path, fingerprint: str, measure: str = "val_auroc") -> None:
        """Read what is there; ConfigError where it is another training's.

        `measure`: the figure of an epoch, whose greatest makes it the best.
        """
        self.folder = folder
        self.measure = measure
        self._fingerprint = fingerprint
        self.history: list[Epoch] = []
        path = folder / STATE_FILE
        if path.exists():
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["fingerprint"] != fingerprint:
                raise ConfigError(
                    f"{folder} holds a training of this name with other data or options; go on with those, "
                    "choose another --name, or start over with --restart"
                )
            self.history = kept["history"]

    @property
    def best_epoch(self) -> int:
        """The epoch, from 1, of the greatest `measure` on the validation split."""
        return int(np.argmax([epoch[self.measure] for epoch in self.history])) + 1

    @property
    def best_file(self) -> Path:
        """The best epoch's weights. Its number is in the name: a kill never leaves another epoch's there."""
        return self.folder / f"best-{self.best_epoch:04d}.npz"

    def keep(self, model: KerasModel, network: KerasModel, figures: Epoch) -> None:
        """Write an epoch's weights, the optimiser's state among them, then the history that counts them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        model.save_weights(self.folder / f"new-{LAST_FILE}")
        self.history.append(figures)
        if self.best_epoch == len(self.history):
            save_weights(network, self.folder / _NEW_BEST)
            (self.folder / _NEW_BEST).replace(self.best_file)
        (self.folder / f"new-{LAST_FILE}").replace(self.folder / LAST_FILE)
        scratch = self.folder / f"new-{STATE_FILE}"
        content = {"fingerprint": self._fingerprint, "history": self.history}
        scratch.write_text(json.dumps(content, indent=1), encoding="utf-8")
        scratch.replace(self.folder / STATE_FILE)
        for older in self.folder.glob("best-*.npz"):
            if older != self.best_file:
                older.unlink()
