"""The names under which libraries save DenseNet's layers, and where in a tree of keys a whole one lies."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from workers.inference.networks.depths import DEPTHS, Depth
from workers.models.plan import plan

State = dict[str, NDArray[np.number]]
"""Arrays by their keys."""

HEAD_WEIGHT: Final = "classifier.weight"
HEAD_BIAS: Final = "classifier.bias"

_NORM: Final = ("weight", "bias", "running_mean", "running_var")

# MONAI has `layers.` between, old torchvision (CheXNet's copies among them) norm.1, conv.1 ...
_TRUNK_KEY: Final = re.compile(
    r"(?P<trunk>(?:.*\.)?)"
    r"(?:(?P<stem>conv0|norm[05])|(?P<halving>transition\d\.(?:norm|conv))"
    r"|(?P<block>denseblock\d\.denselayer\d+)\.(?:layers\.)?(?P<layer>norm|conv)\.?(?P<number>[12]))"
    r"\.(?P<part>weight|bias|running_mean|running_var|num_batches_tracked)"
)
# torchvision's features as the children of a Sequential, with ReLU and pooling at 2 and 3.
_NUMBERED: Final = dict(
    zip(
        ("0", "1", "4", "5", "6", "7", "8", "9", "10", "11"),
        ("conv0", "norm0", "denseblock1", "transition1", "denseblock2", "transition2", "denseblock3",
         "transition3", "denseblock4", "norm5"),
        strict=True,
    )
)  # fmt: skip
_NUMBERED_FIRST: Final = re.compile(r"(?P<trunk>(?:.*\.)?)4\.denselayer1\.(?:layers\.)?norm\.?1\.weight")


def shapes(depth: Depth, channels: int, outputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield torchvision's names in the order of Keras' variables, with PyTorch's shapes."""
    for layer in plan(depth, channels):
        if len(layer.shape) == 1:
            yield from ((f"{layer.torch}.{part}", layer.shape) for part in _NORM)
        else:
            yield f"{layer.torch}.weight", layer.shape[::-1]
    yield HEAD_WEIGHT, (outputs, depth.features)
    yield HEAD_BIAS, (outputs,)


TRUNKS: Final = {
    frozenset(name for name, _ in shapes(depth, 3, 1)) - {HEAD_WEIGHT, HEAD_BIAS}: architecture
    for architecture, depth in DEPTHS.items()
}
"""The names of a trunk's arrays, which tell its architecture: no two have the same blocks."""


def sorted_keys(state: State) -> dict[str, dict[str, str]]:
    """Return, for every path below which parts of a DenseNet lie, torchvision's names and the keys there."""
    numbered = {found["trunk"] for key in state if (found := _NUMBERED_FIRST.fullmatch(key))}
    places: dict[str, dict[str, str]] = {}
    for key in state:
        found = _TRUNK_KEY.fullmatch(_with_names(key, numbered))
        if found:
            block = f"{found['block']}.{found['layer']}{found['number']}" if found["block"] else None
            name = f"features.{block or found['stem'] or found['halving']}.{found['part']}"
            places.setdefault(found["trunk"].removesuffix("."), {})[name] = key
    return places


def _with_names(key: str, numbered: Iterable[str]) -> str:
    for trunk in numbered:
        number, dot, rest = key.removeprefix(trunk).partition(".")
        if key.startswith(trunk) and number in _NUMBERED:
            return f"{trunk}{_NUMBERED[number]}{dot}{rest}"
    return key


def trunks_in(state: State) -> dict[str, dict[str, str]]:
    """Return the whole trunks: the keys of each by torchvision's names, and by its path."""
    found = {}
    for trunk, names in sorted_keys(state).items():
        own = {name: key for name, key in names.items() if not name.endswith("num_batches_tracked")}
        if frozenset(own) in TRUNKS:
            found[trunk] = own
    return found
