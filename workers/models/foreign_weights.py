"""The result of reading a foreign weights file: arrays in our order, and what the file itself says."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from config.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ForeignWeights:
    """A DenseNet's weights out of a foreign file.

    `architecture`: as cards name it. `arrays`: float32, in order, shapes and layout of the variables of
    `densenet.build` (kernels HWIO; each batch norm gamma, beta, moving mean, moving variance; last the head's
    kernel (features, outputs) and bias). `channels` and `outputs` are read off the arrays. `findings` and
    `thresholds`, one per output, where the file holds them; None for an output without a name. `unused`:
    arrays of the file that are not the network's, such as a loss's. `final_relu_unsaid`: whether the network
    is put together in a way that shows not even by convention whether a ReLU follows the last batch norm.
    `module`: the path of keys to the pickled module that it was taken of; None where the file has arrays
    alone.
    """

    architecture: str
    arrays: list[NDArray[np.float32]]
    channels: int
    outputs: int
    findings: tuple[str | None, ...] | None = None
    thresholds: tuple[float | None, ...] | None = None
    unused: tuple[str, ...] = ()
    final_relu_unsaid: bool = False
    module: str | None = None


def drop_unnamed(imported: ForeignWeights) -> ForeignWeights:
    """Return the model without the outputs that have no name: those were never trained.

    A model without any `findings` stays as it is. Raises ConfigError where no output has a name.
    """
    if imported.findings is None:
        return imported
    named = [index for index, name in enumerate(imported.findings) if name]
    if not named:
        raise ConfigError(f"none of the model's {imported.outputs} outputs has a name; name its findings")
    *trunk, kernel, bias = imported.arrays
    thresholds = imported.thresholds
    return replace(
        imported,
        arrays=[*trunk, np.ascontiguousarray(kernel[:, named]), bias[named]],
        outputs=len(named),
        findings=tuple(imported.findings[index] for index in named),
        thresholds=None if thresholds is None else tuple(thresholds[index] for index in named),
    )
