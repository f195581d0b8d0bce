"""Trees of keys: each network is found with its own head, and two are never mixed."""

import random
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config.errors import ConfigError
from workers.inference.networks.depths import DEPTHS
from workers.models.torch_names import State, shapes
from workers.models.trees import Found, find_network

PATH = Path("model.pth")
TRUNKS = {
    architecture: [name for name, _ in shapes(depth, 3, 1) if name.startswith("features.")]
    for architecture, depth in DEPTHS.items()
}
HEAD = ("classifier.weight", "classifier.bias")
TRUNK = TRUNKS["densenet121"]


def renamed(name: str, style: str) -> str:
    """Give torchvision's name of a trunk's array as another library has it."""
    if style == "old torchvision":
        return re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", name)
    if style == "monai":
        return re.sub(r"(denselayer\d+)\.", r"\1.layers.", name)
    return name


NUMBERS = {
    "conv0": 0, "norm0": 1, "denseblock1": 4, "transition1": 5, "denseblock2": 6, "transition2": 7,
    "denseblock3": 8, "transition3": 9, "denseblock4": 10, "norm5": 11,
}  # fmt: skip


def numbered(name: str) -> str:
    _, layer, rest = name.split(".", 2)
    return f"{NUMBERS[layer]}.{rest}"


def network(
    trunk: str,
    head: str,
    mark: float,
    *,
    style: str = "torchvision",
    outputs: int = 2,
    architecture: str = "densenet121",
) -> State:
    """Make a network's arrays, each holding the network's mark; the trunk's are of one number only."""
    arrays = {
        renamed(name, style).replace("features", trunk, 1): np.full(1, mark, np.float32)
        for name in TRUNKS[architecture]
    }
    return arrays | head_of(head, mark, outputs, architecture)


def head_of(head: str, mark: float, outputs: int = 2, architecture: str = "densenet121") -> State:
    return {
        f"{head}.weight": np.full((outputs, DEPTHS[architecture].features), mark, np.float32),
        f"{head}.bias": np.full(outputs, mark, np.float32),
    }


def found_in(state: State, weights_key: str | None = None) -> Found:
    return find_network(PATH, {"": state}, weights_key)


def marks(found: Found) -> set[float]:
    return {float(array.flat[0]) for array in found.network.arrays.values()}


def refusal(state: State, weights_key: str | None = None) -> str:
    with pytest.raises(ConfigError, match=r"^model\.pth: [^\n]+$") as caught:
        found_in(state, weights_key)
    return str(caught.value)


def keys_in(message: str) -> list[str]:
    return re.findall(r"--weights-key (\S+) \(", message)


# --- names -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head", ["fc", "head", "linear", "output", "classifier.fc", "class_layers.out", "1.4"]
)
@pytest.mark.parametrize("prefix", ["", "module.", "net.model."])
def test_head_of_any_name_is_found(prefix: str, head: str) -> None:
    found = found_in(network(f"{prefix}features", f"{prefix}{head}", 5.0))
    assert found.network.paths == (f"{prefix}features", f"{prefix}{head}")
    assert (marks(found), found.left) == ({5.0}, ())


@pytest.mark.parametrize("style", ["torchvision", "old torchvision", "monai"])
@pytest.mark.parametrize("trunk", ["features", "0", "0.0", "backbone.encoder"])
def test_names_of_each_library_below_any_path_are_read(style: str, trunk: str) -> None:
    found = found_in(network(trunk, "head.2", 5.0, style=style))
    assert sorted(found.network.arrays) == sorted([*TRUNK, "classifier.weight", "classifier.bias"])


def test_children_of_the_features_in_a_sequential_are_read_by_their_numbers() -> None:
    state = {numbered(name): np.full(1, index, np.float32) for index, name in enumerate(TRUNK)}
    found = found_in(state | head_of("15", 1.0))
    assert [float(found.network.arrays[name][0]) for name in TRUNK] == list(range(len(TRUNK)))
    assert found.network.paths == ("", "15")


def test_trunk_and_head_in_containers_of_their_own_belong_together() -> None:
    state = network("features", "out", 1.0)
    head = {key.removeprefix("out."): state.pop(key) for key in list(state) if key.startswith("out.")}
    found = find_network(PATH, {"encoder": state, "head": head}, None)
    assert found.network.paths == ("encoder.features", "head")


# --- several networks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["", "ema."])
def test_copy_below_another_name_is_a_second_network(first: str) -> None:
    top, ema = network("features", "classifier", 1.0), network("ema.features", "ema.classifier", 2.0)
    state = ema | top if first else top | ema
    message = refusal(state)
    assert "holds 2 networks" in message
    assert "2 outputs" in message
    assert sorted(keys_in(message)) == ["ema", "features"]
    assert marks(found_in(state, "ema")) == {2.0}
    assert found_in(state, "features").left == ("ema.features", "ema.classifier")


@pytest.mark.parametrize(
    "containers", [("model", "model_ema"), ("state_dict", "state_dict_ema"), ("net", "x.y")]
)
def test_networks_in_two_containers_are_two(containers: tuple[str, str]) -> None:
    states = {at: network("features", "fc", index) for index, at in enumerate(containers)}
    with pytest.raises(ConfigError, match="holds 2 networks") as caught:
        find_network(PATH, states, None)
    assert keys_in(str(caught.value)) == list(containers)
    for index, at in enumerate(containers):
        assert marks(find_network(PATH, states, at)) == {index}


@pytest.mark.parametrize("outputs", [2, 1000])
def test_inner_classifier_that_is_not_used_is_not_taken_for_the_head(outputs: int) -> None:
    state = head_of("classifier", 1.0) | network(
        "backbone.features", "backbone.classifier", 2.0, outputs=outputs
    )
    message = refusal(state)
    assert sorted(keys_in(message)) == ["backbone", "classifier"]
    assert f"{outputs} outputs" in message
    assert found_in(state, "classifier").network.head == "classifier"
    assert found_in(state, "backbone.classifier").network.head == "backbone.classifier"


def test_network_that_is_registered_twice_is_one() -> None:
    state = network("densenet.features", "head", 1.0) | network("features", "head", 1.0)
    found = found_in(state)
    assert marks(found) == {1.0}
    assert len(found.left) == 1


def test_second_trunk_without_a_head_is_not_passed_over() -> None:
    second = {key: value for key, value in network("student.features", "-", 2.0).items() if key[0] != "-"}
    state = network("features", "classifier", 1.0) | second
    assert "student.features, without a head" in refusal(state)
    assert found_in(state, "classifier").left == ("student.features",)


def test_key_that_names_no_network_is_answered_with_those_there_are() -> None:
    message = refusal(network("features", "classifier", 1.0), "teacher")
    assert "--weights-key teacher names none of its networks" in message
    assert keys_in(message) == ["features"]


STEPS = st.sampled_from(["model", "net", "ema", "module", "teacher", "student", "0", "1"])
PLACES = st.lists(STEPS, max_size=3).map(lambda steps: "".join(f"{step}." for step in steps))
FORMS = st.sampled_from(
    [
        ("features", "classifier", "torchvision"),
        ("features", "classifier.1", "old torchvision"),
        ("features", "class_layers.out", "monai"),
        ("backbone.features", "fc", "torchvision"),
        ("backbone.features", "head.2", "torchvision"),
        ("encoder", "linear", "torchvision"),
    ]
)


@settings(deadline=None, max_examples=60)
@given(
    places=st.tuples(PLACES, PLACES),
    forms=st.tuples(FORMS, FORMS),
    architectures=st.tuples(st.sampled_from(list(DEPTHS)), st.sampled_from(list(DEPTHS))),
    inner=st.booleans(),
    split=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_two_networks_are_never_mixed(
    places: tuple[str, str],
    forms: tuple[tuple[str, str, str], tuple[str, str, str]],
    architectures: tuple[str, str],
    inner: bool,
    split: bool,
    seed: int,
) -> None:
    """Two networks anywhere in a tree, in any order of keys: one of them comes in whole, or none."""
    states = [
        network(place + trunk, place + head, mark, style=style, architecture=architecture)
        for mark, place, (trunk, head, style), architecture in zip(
            (1.0, 2.0), places, forms, architectures, strict=True
        )
    ]
    if inner and "backbone" in forms[0][0]:
        states[0] |= head_of(f"{places[0]}backbone.classifier", 1.0, architecture=architectures[0])
    if states[0].keys() & states[1].keys():
        split = True  # not two networks in one state dict, as one's arrays would replace the other's
    if split:
        containers = {"one": shuffled(states[0], seed), "two": shuffled(states[1], seed + 1)}
    else:
        containers = {"": shuffled(states[0] | states[1], seed)}
    with pytest.raises(ConfigError, match=r"holds \d networks") as caught:
        find_network(PATH, containers, None)
    paths = [
        path
        for place, (trunk, head, _) in zip(places, forms, strict=True)
        for path in (place + trunk, place + head)
    ]
    chosen = []
    for key in {
        *keys_in(str(caught.value)),
        *paths,
        *(place.rstrip(".") for place in places),
        "one",
        "two",
    } - {""}:
        if "," in key:
            continue  # a trunk and a head, each named by its owner
        try:
            found = find_network(PATH, containers, key)
        except ConfigError:
            continue
        assert len(marks(found)) == 1
        mark = int(marks(found).copy().pop())
        assert found.network.architecture == architectures[mark - 1]
        assert set(found.network.arrays) == {*TRUNKS[architectures[mark - 1]], *HEAD}
        chosen.append(marks(found))
    assert chosen or not split


def shuffled(state: State, seed: int) -> State:
    keys = list(state)
    random.Random(seed).shuffle(keys)
    return {key: state[key] for key in keys}
