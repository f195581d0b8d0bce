"""Find the one DenseNet in a tree of keys, with its own head; refuse where there are several."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from config.errors import ConfigError
from workers.inference.networks.depths import DEPTHS, NAMES, Depth
from workers.models.advice import SAVE_STATE_DICT
from workers.models.strangers import name_stranger
from workers.models.torch_names import HEAD_BIAS, HEAD_WEIGHT, TRUNKS, State, shapes, sorted_keys, trunks_in

_MATRIX_AXES: Final = 2
_MOST_NAMED: Final = 8

# What training leaves beside a network, and no forward pass computes with.
_OF_TRAINING: Final = re.compile(
    r"(?:.*\.)?(?:criteri\w+|\w*loss(?:_\w+)?|(?:\w+_)?metrics?|optimi[sz]ers?|(?:\w+_)?schedulers?"
    r"|n_averaged|temperature|(?:pos|class)_weights?|num_batches_tracked)(?:\..*)?"
)


@dataclass(frozen=True, slots=True)
class Network:
    """A whole DenseNet with a head: torchvision's names to the keys they have in `container`.

    `architecture`: as cards name it. `trunk` and `head` are paths of keys inside the container; `keys` is
    without the head's bias where there is none.
    """

    container: str
    architecture: str
    trunk: str
    head: str
    keys: Mapping[str, str]
    state: State

    @property
    def paths(self) -> tuple[str, str]:
        """Trunk and head as people name them: from the file's top."""
        return _join(self.container, self.trunk), _join(self.container, self.head)

    @property
    def depth(self) -> Depth:
        """Its depth."""
        return DEPTHS[self.architecture]

    @property
    def outputs(self) -> int:
        """The head's outputs."""
        return len(self.state[self.keys[HEAD_WEIGHT]])

    @property
    def arrays(self) -> State:
        """The network's arrays under torchvision's names; a head without a bias gets one of zeros."""
        arrays = {name: self.state[key] for name, key in self.keys.items()}
        arrays.setdefault(HEAD_BIAS, np.zeros(self.outputs, np.float32))
        return arrays


@dataclass(frozen=True, slots=True)
class Found:
    """The one network that is taken, and the arrays beside it that are left, by key from the file's top."""

    network: Network
    left: tuple[str, ...]


def find_network(path: Path, containers: Mapping[str, State], weights_key: str | None) -> Found:
    """Return the one DenseNet with its head among a file's arrays, taken from one place in the tree.

    `containers`: the arrays of each state dict in the file, by the path of keys that leads to it, "" for the
    file itself. `weights_key`: the path of the wanted trunk or head, or of what holds both; or both, with a
    comma between. Raises ConfigError where there is no network, or more than one, or where other layers lie
    beside it.
    """
    trunks = {container: trunks_in(state) for container, state in containers.items()}
    networks = [
        network
        for container, state in containers.items()
        for network in _networks(container, state, trunks[container])
    ]
    if not networks and len(containers) > 1:
        # A trunk in one container and its head in another.
        joined = {_join(at, key): value for at, state in containers.items() for key, value in state.items()}
        containers, trunks = {"": joined}, {"": trunks_in(joined)}
        networks = list(_networks("", joined, trunks[""]))
    if not networks:
        raise _none(path, containers)
    wanted = [network for network in networks if _wanted(network, weights_key)]
    if weights_key is not None and not wanted:
        raise ConfigError(
            f"{path}: --weights-key {weights_key} names none of its networks: {_listed(networks)}"
        )
    distinct = _distinct(wanted)
    headless = [] if weights_key is not None else _headless(trunks, containers, networks)
    if len(distinct) > 1 or headless:
        more = "".join(f"; and {trunk}, without a head" for trunk in headless)
        raise ConfigError(
            f"{path}: holds {len(distinct) + len(headless)} networks, and only one of them can be yours; "
            f"choose it with --weights-key: {_listed(distinct)}{more}"
        )
    network = distinct[0]
    # The trunks and heads beside it are copies of its own, or were not chosen.
    known = {
        key: _join(network.container, trunk)
        for trunk, keys in trunks[network.container].items()
        for key in keys.values()
    }
    for other in networks:
        if other.container == network.container:
            heads = (other.keys[name] for name in (HEAD_WEIGHT, HEAD_BIAS) if name in other.keys)
            known |= dict.fromkeys(heads, other.paths[1])
    return Found(network, _left(path, network, known, chosen=weights_key is not None))


# --- trunks and heads --------------------------------------------------------------------------------------


def _networks(container: str, state: State, trunks: Mapping[str, Mapping[str, str]]) -> Iterator[Network]:
    """Yield every trunk with every head that may be its own."""
    in_trunks = {key for keys in trunks.values() for key in keys.values()}
    architectures = {trunk: TRUNKS[frozenset(keys)] for trunk, keys in trunks.items()}
    for key, array in state.items():
        if key in in_trunks or not _may_be_head(key, array):
            continue
        fitting = [trunk for trunk, name in architectures.items() if DEPTHS[name].features == array.shape[1]]
        head = key.removesuffix("weight").removesuffix(".")
        bias = f"{key.removesuffix('weight')}bias"
        for trunk in _owners(head, fitting):
            keys = {**trunks[trunk], HEAD_WEIGHT: key} | ({HEAD_BIAS: bias} if bias in state else {})
            yield Network(container, architectures[trunk], trunk, head, keys, state)


def _may_be_head(key: str, array: NDArray[np.number]) -> bool:
    return key.rpartition(".")[2] == "weight" and array.ndim == _MATRIX_AXES and len(array) > 0


def _owners(head: str, trunks: Iterable[str]) -> list[str]:
    """Return the trunks that a head may belong to: its own module's, else all that are equally near to it."""
    near: dict[int, list[str]] = {}
    for trunk in trunks:
        scope, _, last = trunk.rpartition(".")
        if last == "features" and re.fullmatch(r"classifier(\.\d+)*|class_layers\.out", _below(head, scope)):
            return [trunk]  # torchvision's and MONAI's own pair
        near.setdefault(len(_common(head, trunk)), []).append(trunk)
    return near[max(near)] if near else []


def _below(path: str, scope: str) -> str:
    """Return the rest of a path below a scope, or "" where it lies elsewhere."""
    return path if not scope else path.removeprefix(f"{scope}.") if path.startswith(f"{scope}.") else ""


def _common(one: str, other: str) -> list[str]:
    pairs = zip(one.split("."), other.split("."), strict=False)
    return [step for step, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)]


def _join(*steps: str) -> str:
    return ".".join(filter(None, steps))


# --- the one that is wanted --------------------------------------------------------------------------------


def _wanted(network: Network, weights_key: str | None) -> bool:
    if weights_key is None:
        return True
    return all(_chooses(key.strip(), network) for key in weights_key.split(","))


def _chooses(key: str, network: Network) -> bool:
    return key in network.paths or all(f"{path}.".startswith(f"{key}.") for path in network.paths)


def _distinct(networks: Iterable[Network]) -> list[Network]:
    """Return the networks whose arrays differ: one that is registered twice is one."""
    distinct: list[Network] = []
    for network in networks:
        if not any(_equal(network.arrays, other.arrays) for other in distinct):
            distinct.append(network)
    return distinct


def _equal(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def _headless(
    trunks: Mapping[str, Mapping[str, Mapping[str, str]]],
    containers: Mapping[str, State],
    networks: Iterable[Network],
) -> list[str]:
    """Return the paths of whole trunks without a head that are no copies of one that has a head."""
    headed = {network.paths[0]: _trunk_arrays(network) for network in networks}
    found = []
    for container, inside in trunks.items():
        for trunk, keys in inside.items():
            arrays = {name: containers[container][key] for name, key in keys.items()}
            if _join(container, trunk) not in headed and not any(
                _equal(arrays, other) for other in headed.values()
            ):
                found.append(_join(container, trunk))
    return found


def _trunk_arrays(network: Network) -> State:
    return {name: array for name, array in network.arrays.items() if name not in {HEAD_WEIGHT, HEAD_BIAS}}


def _listed(networks: list[Network]) -> str:
    return "; ".join(
        f"--weights-key {_shortest_key(network, networks)} ({network.outputs} outputs, "
        f"{sum(array.size for array in network.arrays.values()):,} numbers, head {network.paths[1]})"
        for network in networks
    )


def _shortest_key(network: Network, networks: Iterable[Network]) -> str:
    """Return the shortest key that chooses this network and no other."""
    trunk, head = network.paths
    keys = (".".join(_common(trunk, head)), trunk, head)
    for key in sorted(filter(None, keys), key=len):
        if [other for other in networks if _chooses(key, other)] == [network]:
            return key
    return f"{trunk},{head}"


# --- what lies beside it -----------------------------------------------------------------------------------


def _left(path: Path, network: Network, known: Mapping[str, str], *, chosen: bool) -> tuple[str, ...]:
    """Return what is left; ConfigError where an array belongs to a layer that the forward pass may use.

    `known`: the keys of other trunks and heads, each with the path that stands for all of its keys.
    """
    used = set(network.keys.values())
    module = f"{'.'.join(_common(network.trunk, network.head))}."
    left: dict[str, None] = {}
    layers = []
    for key, array in network.state.items():
        if key in used or key.endswith("num_batches_tracked") or key.rpartition(".")[2] == "op_threshs":
            continue
        elsewhere = chosen and module != "." and not key.startswith(module)
        if key in known:
            left[known[key]] = None
        elif array.size <= 1 or elsewhere or _OF_TRAINING.fullmatch(key):
            left[_join(network.container, key)] = None
        else:
            layers.append(f"{_join(network.container, key)} {array.shape}")
    if layers:
        raise ConfigError(
            f"{path}: has {len(layers)} other arrays beside a {network.depth.name} and its head "
            f"{network.paths[1]}: {_few(layers)}; a network that computes with them, like one with two "
            f"layers as head, cannot be read. If yours does not, {SAVE_STATE_DICT}"
        )
    return tuple(left)


def _few(names: list[str]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "")


def _none(path: Path, containers: Mapping[str, State]) -> ConfigError:
    """Say what there is in place of a whole network."""
    keys = [_join(container, key) for container, state in containers.items() for key in state]
    if not keys:
        return ConfigError(f"{path}: no arrays are in it; {SAVE_STATE_DICT}")
    everything = {_join(at, key): value for at, state in containers.items() for key, value in state.items()}
    whole = trunks_in(everything)
    if whole:
        depths = {DEPTHS[TRUNKS[frozenset(keys)]] for keys in whole.values()}
        wanted = " or ".join(f"(outputs, {depth.features})" for depth in depths)
        matrices = [f"{key} {value.shape}" for key, value in everything.items() if value.ndim == _MATRIX_AXES]
        others = f"its linear layers are {_few(matrices)}" if matrices else "features alone find nothing"
        return ConfigError(f"{path}: the head is missing: no array is {wanted} of one linear layer; {others}")
    stranger = name_stranger(keys)
    if stranger:
        return ConfigError(f"{path}: is {stranger}; only {NAMES} can be read")
    parts = max(sorted_keys(everything).items(), key=lambda item: len(item[1]), default=None)
    if parts is None:
        return ConfigError(
            f"{path}: is no DenseNet: none of its {len(keys)} arrays has a DenseNet's name, they are "
            f"{_few(keys)}; {SAVE_STATE_DICT}"
        )
    at, names = parts
    own = {name for name in names if not name.endswith("num_batches_tracked")}
    nearest = min(TRUNKS, key=lambda trunk: len(trunk ^ own))
    depth = DEPTHS[TRUNKS[nearest]]
    missing = [name for name, _ in shapes(depth, 3, 1) if name in nearest - own]
    unexpected = [names[name] for name in names if name in own - nearest]
    differences = [
        f"{what} {len(those)} arrays, the first is {those[0]}"
        for what, those in (("it lacks", missing), ("it has other", unexpected))
        if those
    ]
    return ConfigError(f"{path}: is no {depth.name}{f' at {at}' if at else ''}: {'; '.join(differences)}")
