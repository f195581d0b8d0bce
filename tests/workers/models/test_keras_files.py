"""Weights out of Keras' files: the original's scores and Grad-CAMs come back, and other files are refused."""

import json
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from support import ROOT

from config.cards.classification import ClassificationCard, Preprocessing
from config.cards.model import Classifier
from config.errors import ConfigError
from jobs.sources.folder import FolderSource
from workers.inference import pixels
from workers.inference.formats.decode import read_picture
from workers.inference.networks.depths import DEPTHS
from workers.models.keras_files import read_keras
from workers.models.plan import plan

Arrays = list[NDArray[np.float32]]

pytestmark = [
    pytest.mark.usefixtures("tensorflow"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
    pytest.mark.timeout(600),
]


# --- originals ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Original:
    """Another project's DenseNet-121 with made-up weights, as one model and as a layer of another."""

    flat: Any
    nested: Any
    trunk: Any
    seen: Any  # to the last batch norm and the probabilities
    after_norm: Any  # from the one to the other
    final_relu: bool

    @property
    def arrays(self) -> Arrays:
        return [array for layer in self.flat.layers for array in layer.get_weights()]


def original(keras: Any, *, size: int = 320, final_relu: bool = True, seed: int = 1) -> Original:
    """Build it with `keras` or `tf_keras`; without the final ReLU it is Keras 2.1.4's, CheXNet-Keras'."""
    layers = keras.layers
    trunk = keras.applications.DenseNet121(
        include_top=False, weights=None, input_shape=(size, size, 3), pooling="avg"
    )
    trunk._name = "densenet121"
    if not final_relu:
        pooled = layers.GlobalAveragePooling2D(name="avg_pool")(trunk.get_layer("bn").output)
        trunk = keras.Model(trunk.input, pooled, name="densenet121")
    randomise(trunk, seed)
    head = layers.Dense(14, activation="sigmoid", name="predictions")
    probabilities = head(trunk.output)
    rng = np.random.default_rng(seed + 1)
    head.set_weights([rng.normal(0, 0.05, (1024, 14)), rng.normal(0, 0.5, 14)])
    entry = layers.Input((size, size, 3))
    return Original(
        flat=keras.Model(trunk.input, probabilities),
        nested=keras.Model(entry, head(layers.Dropout(0.2)(trunk(entry)))),
        trunk=trunk,
        seen=keras.Model(trunk.input, [trunk.get_layer("bn").output, probabilities]),
        after_norm=keras.Model(trunk.get_layer("bn").output, probabilities),
        final_relu=final_relu,
    )


def randomise(network: Any, seed: int) -> None:
    """Give every layer weights of its own, so that two in each other's place show."""
    rng = np.random.default_rng(seed)
    for layer in network.layers:
        shapes = [array.shape for array in layer.get_weights()]
        if len(shapes) == 4:
            low_high = [(0.8, 1.2), (-0.2, 0.2), (-0.2, 0.2), (0.6, 1.4)]
            layer.set_weights(
                [rng.uniform(*ends, shape) for ends, shape in zip(low_high, shapes, strict=True)]
            )
        elif shapes:
            layer.set_weights([rng.normal(0, np.sqrt(2 / np.prod(s[:-1])), s) for s in shapes])


@pytest.fixture(scope="module")
def keras_3() -> Original:
    import keras

    return original(keras)


@pytest.fixture(scope="module")
def keras_2() -> Original:
    return original(pytest.importorskip("tf_keras"), seed=2)


@pytest.fixture(scope="module")
def chexnet() -> Original:
    return original(pytest.importorskip("tf_keras"), final_relu=False, seed=3)


# --- files -------------------------------------------------------------------------------------------------


def trained(model: Any) -> Any:
    """Compile it, so that its file holds an optimiser and metrics too; its weights stay as they are."""
    model.compile("adam", "binary_crossentropy", metrics=["AUC"])
    model.optimizer.build(model.trainable_variables)
    return model


@dataclass(frozen=True)
class Saved:
    """An original, that of its two models which was saved, and the file."""

    source: Original
    model: Any
    path: Path


# Keras tells the format by the ending: of weights `.weights.h5` is Keras 3's, any other `.h5` Keras 2's.
@pytest.fixture(
    scope="module",
    params=[
        ("keras_3", "flat", "weights", "a.weights.h5"),
        ("keras_3", "nested", "weights", "a.weights.h5"),
        ("keras_3", "flat", "model", "a.keras"),
        ("keras_3", "nested", "trained model", "a.keras"),
        ("keras_3", "flat", "model", "a.h5"),
        ("keras_3", "nested", "trained model", "a.h5"),
        ("keras_2", "flat", "weights", "a.h5"),
        ("keras_2", "nested", "weights", "a.h5"),
        ("keras_2", "flat", "model", "a.h5"),
        ("keras_2", "nested", "trained model", "a.h5"),
        ("keras_2", "flat", "weights", "a.weights.h5"),
        ("keras_2", "nested", "trained model", "a.keras"),
        ("chexnet", "flat", "weights", "a.h5"),
        ("chexnet", "nested", "model", "a.h5"),
    ],
    ids=" ".join,
)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Saved]:
    name, shape, content, file = request.param
    source = request.getfixturevalue(name)
    model = getattr(source, shape)
    path = tmp_path_factory.mktemp("keras") / file
    if content == "weights":
        model.save_weights(path)
    else:
        (trained(model) if "trained" in content else model).save(path)
    yield Saved(source, model, path)
    path.unlink()


@pytest.fixture(scope="module")
def weights_file(keras_2: Original, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good file of Keras 2, to be spoiled."""
    path = tmp_path_factory.mktemp("good") / "weights.h5"
    keras_2.flat.save_weights(path)
    return path


@pytest.fixture
def spoiled(weights_file: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(weights_file, tmp_path / "spoiled.h5"))


def write_legacy(path: Path, groups: dict[str, dict[str, NDArray[Any]]]) -> Path:
    """Write Keras 2's layout by hand: arrays by weight name by layer name."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in groups]
        for name, arrays in groups.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = [weight.encode() for weight in arrays]
            for weight, array in arrays.items():
                group[weight] = array
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_keras(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


# --- what comes back ---------------------------------------------------------------------------------------


def test_every_array_comes_back_in_the_networks_order(saved: Saved) -> None:
    source, found = saved.source, read_keras(saved.path)
    assert (found.channels, found.outputs) == (3, 14)
    assert found.findings is None
    assert len(found.arrays) == len(source.arrays) == 606
    for index, (ours, theirs) in enumerate(zip(found.arrays, source.arrays, strict=True)):
        assert ours.dtype == np.float32
        np.testing.assert_array_equal(ours, theirs, err_msg=f"array {index}")


def own_maps(source: Original, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take Grad-CAM at `bn` by autodiff on the original, as the course does; each maximum is 1 or 0."""
    import tensorflow as tf

    maps = []
    features, _ = source.seen(inputs, training=False)
    # Without a tape over the layers below `bn`: it would take every gradient through all of them.
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(features)
        each = tf.unstack(source.after_norm(features, training=False), axis=-1)
    for probability in each:
        alpha = tf.reduce_mean(tape.gradient(probability, features), axis=(1, 2), keepdims=True)
        maps.append(np.maximum(np.asarray(tf.reduce_sum(alpha * features, axis=-1)), 0))
    stacked = np.stack(maps, axis=-1)
    highest = stacked.max(axis=(1, 2), keepdims=True)
    divided: NDArray[np.float32] = np.divide(stacked, highest, out=np.zeros_like(stacked), where=highest > 0)
    return divided


@pytest.fixture(scope="module")
def maps_at_home(
    course: tuple[ClassificationCard, NDArray[np.float32]],
) -> Callable[[Original], NDArray[np.float32]]:
    """The maps of the course's radiographs by an original; once for all files that hold it."""
    found: dict[int, NDArray[np.float32]] = {}

    def of(source: Original) -> NDArray[np.float32]:
        if id(source) not in found:
            found[id(source)] = own_maps(source, course[1])
        return found[id(source)]

    return of


@pytest.fixture(scope="module")
def scores_at_home(
    course: tuple[ClassificationCard, NDArray[np.float32]],
) -> Callable[[Any], NDArray[np.float32]]:
    """What an original's model says of the course's radiographs; once for all files that it was saved to."""
    found: dict[int, NDArray[np.float32]] = {}

    def of(model: Any) -> NDArray[np.float32]:
        if id(model) not in found:
            found[id(model)] = np.asarray(model(course[1], training=False))
        return found[id(model)]

    return of


@pytest.fixture(scope="module")
def course(untrained: Classifier, real_data: Path) -> tuple[ClassificationCard, NDArray[np.float32]]:
    """Three real radiographs prepared as the course does, and a card that says so."""
    root = real_data / "nih" / "images"
    names = sorted(path.name for path in root.glob("*.png"))[:3]
    pictures = [read_picture(FolderSource(root), name, 64_000_000) for name in names]
    plain = Preprocessing(size=320, channels=3, resize="nearest", factor=1, mean=(0, 0, 0), std=(1, 1, 1))
    values = [pixels.prepare(picture, plain) for picture in pictures]
    frozen = plain.model_copy(
        update={"mean": (float(np.mean(values)),) * 3, "std": (float(np.std(values)),) * 3}
    )
    card = untrained.card.model_copy(update={"pixels": frozen})
    return card, np.stack([pixels.prepare(picture, frozen) for picture in pictures])


@pytest.fixture(scope="module")
def networks(course: tuple[ClassificationCard, NDArray[np.float32]]) -> dict[bool, Any]:
    """Nightread's own network, with the final ReLU and without."""
    from workers.inference.networks import densenet

    cards = {
        final_relu: course[0].model_copy(update={"final_relu": final_relu}) for final_relu in (True, False)
    }
    return {final_relu: densenet.build(card) for final_relu, card in cards.items()}


def test_real_radiographs_have_the_originals_probabilities_and_grad_cams(
    saved: Saved,
    course: tuple[ClassificationCard, NDArray[np.float32]],
    networks: dict[bool, Any],
    maps_at_home: Callable[[Original], NDArray[np.float32]],
    scores_at_home: Callable[[Any], NDArray[np.float32]],
) -> None:
    from workers.inference import gradcam, weights
    from workers.inference.networks import densenet

    card, radiographs = course
    final_relu = saved.source.final_relu
    ours = networks[final_relu]
    weights.fill(ours, read_keras(saved.path).arrays, card, "the import")
    normed, logits = ours(radiographs, training=False)
    probabilities = 1 / (1 + np.exp(-np.asarray(logits, dtype=np.float64)))
    expected = scores_at_home(saved.model)
    assert np.ptp(expected, axis=0).max() > 0.01, "the pictures are not told apart"
    off = float(np.abs(probabilities - expected).max())
    assert off <= 1e-4

    kernel = ours.get_layer(densenet.HEAD).kernel
    maps = np.asarray(gradcam.class_activation_maps(normed, kernel, final_relu=final_relu))
    theirs = maps_at_home(saved.source)
    assert theirs.max() == 1
    maps_off = float(np.abs(maps - theirs).max())
    print(f"largest differences: probabilities {off:.2g}, maps {maps_off:.2g}")  # noqa: T201  # seen with -s
    assert maps_off <= 1e-3


@pytest.mark.parametrize("architecture", DEPTHS)
def test_plan_has_the_networks_own_names_and_shapes(untrained: Classifier, architecture: str) -> None:
    from workers.inference.networks import densenet

    card = untrained.card.model_copy(update={"architecture": architecture})
    kernels_and_gammas = [
        (variable.path.split("/")[0], tuple(variable.shape))
        for variable in densenet.build(card).weights
        if variable.path.endswith(("/kernel", "/gamma"))
    ]
    depth = DEPTHS[architecture]
    planned = [(layer.keras, layer.shape) for layer in plan(depth, card.pixels.channels)]
    assert planned == kernels_and_gammas[:-1]
    assert kernels_and_gammas[-1][1][0] == depth.features


@pytest.mark.parametrize(
    "frozen", ["all", "batch norms", "the first 200 layers", "one convolution", "odd ones"]
)
def test_nested_model_that_was_frozen_in_part_comes_back_in_order(
    keras_2: Original, tmp_path: Path, frozen: str
) -> None:
    layers = keras_2.trunk.layers
    chosen = {
        "all": layers,
        "batch norms": [layer for layer in layers if layer.name.endswith("bn")],
        "the first 200 layers": layers[:200],
        # Its shape is that of 57 others: only its name tells where it belongs.
        "one convolution": [keras_2.trunk.get_layer("conv3_block2_2_conv")],
        "odd ones": layers[1::2],
    }[frozen]
    for layer in chosen:
        layer.trainable = False
    try:
        keras_2.nested.save_weights(tmp_path / "frozen.h5")
    finally:
        for layer in chosen:
            layer.trainable = True
    with h5py.File(tmp_path / "frozen.h5") as file:
        names = list(file["densenet121"].attrs["weight_names"])
    assert names != [weight.name for weight in keras_2.trunk.trainable_weights] + [
        weight.name for weight in keras_2.trunk.non_trainable_weights
    ]
    for ours, theirs in zip(read_keras(tmp_path / "frozen.h5").arrays, keras_2.arrays, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_sequential_with_augmentation_and_dropout_comes_back(keras_3: Original, tmp_path: Path) -> None:
    import keras

    whole = keras.Sequential(
        [
            keras.Input((320, 320, 3)),
            keras.layers.RandomFlip("horizontal"),
            keras_3.trunk,
            keras.layers.Dropout(0.3),
            keras_3.flat.get_layer("predictions"),
        ]
    )
    whole.save(tmp_path / "sequential.keras")
    for ours, theirs in zip(read_keras(tmp_path / "sequential.keras").arrays, keras_3.arrays, strict=True):
        np.testing.assert_array_equal(ours, theirs)


# --- layouts by hand ---------------------------------------------------------------------------------------


def by_hand(
    rng: np.random.Generator, *, channels: int = 3, outputs: int = 14
) -> list[tuple[str, dict[str, NDArray[Any]]]]:
    """Make a DenseNet-121's layers: name, and arrays by role."""
    layers: list[tuple[str, dict[str, NDArray[Any]]]] = []
    for name, _, shape in plan(DEPTHS["densenet121"], channels):
        roles = ("kernel",) if len(shape) == 4 else ("gamma", "beta", "moving_mean", "moving_variance")
        layers.append((name, {role: rng.random(shape, dtype=np.float32) for role in roles}))
    head = {"kernel": rng.random((1024, outputs)), "bias": rng.random(outputs)}
    return [*layers, ("predictions", head)]


def in_order(layers: list[tuple[str, dict[str, NDArray[Any]]]]) -> Arrays:
    return [array.astype(np.float32) for _, arrays in layers for array in arrays.values()]


@pytest.mark.parametrize(("channels", "outputs"), [(1, 14), (3, 1), (3, 18)])
def test_channels_and_outputs_are_read_off_the_arrays(tmp_path: Path, channels: int, outputs: int) -> None:
    layers = by_hand(np.random.default_rng(1), channels=channels, outputs=outputs)
    groups = {name: {f"{name}/{role}:0": a for role, a in arrays.items()} for name, arrays in layers}
    found = read_keras(write_legacy(tmp_path / "a.h5", groups))
    assert (found.channels, found.outputs) == (channels, outputs)
    assert found.arrays[0].shape == (7, 7, channels, 64)
    assert found.arrays[-1].shape == (outputs,)
    assert found.arrays[-2].dtype == np.float32  # it was float64


def test_keras_1_names_and_names_that_keras_made_up_come_back(tmp_path: Path) -> None:
    keras_1 = {
        "kernel": "W",
        "bias": "b",
        "moving_mean": "running_mean",
        "moving_variance": "running_std",
    }
    layers = by_hand(np.random.default_rng(2))
    groups = {}
    for index, (_, arrays) in enumerate(layers):
        kind = "batchnormalization" if "gamma" in arrays else "convolution2d"
        name = f"{kind}_{index + 1}"
        groups[name] = {f"{name}_{keras_1.get(role, role)}": array for role, array in arrays.items()}
    found = read_keras(write_legacy(tmp_path / "a.h5", groups))
    for ours, theirs in zip(found.arrays, in_order(layers), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_names_in_several_attributes_come_back(weights_file: Path, spoiled: Path) -> None:
    # Keras cuts a list that is longer than HDF5's header allows.
    with h5py.File(spoiled, "r+") as file:
        names = file.attrs["layer_names"]
        del file.attrs["layer_names"]
        for index, piece in enumerate(np.array_split(names, 3)):
            file.attrs[f"layer_names{index}"] = piece
    for ours, theirs in zip(read_keras(spoiled).arrays, read_keras(weights_file).arrays, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("named", [True, False])
def test_partly_frozen_model_whose_names_tell_no_order_is_refused(tmp_path: Path, named: bool) -> None:
    layers = by_hand(np.random.default_rng(3))
    *trunk, (_, head) = layers
    frozen = {"conv4_block7_2_conv"}
    listed = [
        (name, role, array)
        for last in (False, True)
        for name, arrays in trunk
        for role, array in arrays.items()
        if (role.startswith("moving_") or name in frozen) is last
    ]
    title = {name: name if named else f"layer_{index}" for index, (name, _) in enumerate(trunk)}
    groups = {
        "densenet121": {f"{title[name]}/{role}:0": array for name, role, array in listed},
        "predictions": {f"predictions/{role}:0": array for role, array in head.items()},
    }
    path = write_legacy(tmp_path / "a.h5", groups)
    if named:
        for ours, theirs in zip(read_keras(path).arrays, in_order(layers), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    else:
        message = refusal(path)
        assert "frozen" in message
        assert "model.trainable = True" in message


# --- nothing of a file is run ------------------------------------------------------------------------------


def test_lambda_in_the_config_is_not_run(keras_3: Original, tmp_path: Path) -> None:
    import keras

    marker = str(tmp_path / "it ran")
    traced = keras.layers.Lambda(
        lambda x: (__import__("pathlib").Path(marker).touch(), x)[1], output_shape=(320, 320, 3)
    )
    entry = keras.Input((320, 320, 3))
    path = tmp_path / "lambda.keras"
    keras.Model(entry, keras_3.flat(traced(entry))).save(path)
    Path(marker).unlink(missing_ok=True)

    found = read_keras(path)
    assert not Path(marker).exists()
    for ours, theirs in zip(found.arrays, keras_3.arrays, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    # The code is in the file, and it does run where Keras is told to believe it.
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    [stored] = [layer for layer in config["config"]["layers"] if layer["class_name"] == "Lambda"]
    keras.saving.deserialize_keras_object(stored, safe_mode=False)(np.zeros((1, 320, 320, 3)))
    assert Path(marker).exists()


def test_config_that_is_no_json_does_not_matter(keras_3: Original, tmp_path: Path) -> None:
    keras_3.flat.save_weights(tmp_path / "model.weights.h5")
    with zipfile.ZipFile(tmp_path / "a.keras", "w") as archive:
        archive.writestr("config.json", "import os")
        archive.write(tmp_path / "model.weights.h5", "model.weights.h5")
    assert len(read_keras(tmp_path / "a.keras").arrays) == 606


@pytest.mark.processes
def test_reader_loads_neither_keras_nor_tensorflow(weights_file: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from workers.models.keras_files import read_keras;"
        "print(len(read_keras(Path(sys.argv[1])).arrays), {'keras', 'tensorflow'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(weights_file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "606 set()"


def test_link_to_another_file_is_refused_and_not_opened(spoiled: Path, weights_file: Path) -> None:
    with h5py.File(spoiled, "r+") as file:
        del file["bn"]
        file["bn"] = h5py.ExternalLink(str(weights_file), "/bn")
    assert "bn is a link to elsewhere" in refusal(spoiled)


@pytest.mark.parametrize("target", ["/pool4_bn/pool4_bn/gamma:0", "/bn", "/nowhere"])
def test_soft_link_is_refused(spoiled: Path, target: str) -> None:
    with h5py.File(spoiled, "r+") as file:
        del file["bn/bn/gamma:0"]
        file["bn/bn/gamma:0"] = h5py.SoftLink(target)
    assert "bn/gamma:0 is a link to elsewhere" in refusal(spoiled)


def test_link_in_the_place_of_the_whole_model_is_refused(tmp_path: Path, weights_file: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["model_weights"] = h5py.ExternalLink(str(weights_file), "/")
    assert "model_weights is a link" in refusal(tmp_path / "a.h5")


@pytest.mark.parametrize("kind", ["external", "virtual"])
def test_array_that_is_kept_in_another_file_is_refused(spoiled: Path, weights_file: Path, kind: str) -> None:
    with h5py.File(spoiled, "r+") as file:
        group = file["bn/bn"]
        del group["gamma:0"]
        if kind == "external":
            group.create_dataset("gamma:0", (1024,), "f4", external=[(str(weights_file), 0, 4096)])
        else:
            layout = h5py.VirtualLayout((1024,), "f4")
            layout[:] = h5py.VirtualSource(str(weights_file), "bn/bn/gamma:0", (1024,))
            group.create_virtual_dataset("gamma:0", layout)
    assert "kept in another file" in refusal(spoiled)


@pytest.mark.parametrize("where", ["bn/bn/gamma:0", "predictions/predictions/kernel:0"])
def test_array_larger_than_memory_is_refused_before_it_is_read(spoiled: Path, where: str) -> None:
    with h5py.File(spoiled, "r+") as file:
        axes = file[where].ndim
        del file[where]
        file.create_dataset(where, (1024, 2**40)[-axes:], "f4", chunks=(1024, 1)[-axes:])
    assert spoiled.stat().st_size < 40_000_000
    message = refusal(spoiled)
    assert "1099511627776" in message.replace(",", "")


def test_groups_in_a_circle_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.weights.h5", "w") as file:
        group = file.create_group("layers")
        group["again"] = group
    assert "nested deeper" in refusal(tmp_path / "a.weights.h5")


def test_keras_file_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.models.hdf5._LARGEST_MEMBER", 1_000_000)
    with zipfile.ZipFile(tmp_path / "a.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(1_000_001))
    assert "1,000,001 bytes" in refusal(tmp_path / "a.keras")


# --- other networks ----------------------------------------------------------------------------------------


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    import keras

    other = keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3), classes=14)
    other.save_weights(tmp_path / "other.weights.h5")
    other.save(tmp_path / "other.h5")
    assert "has a bias in layers/conv2d;" in refusal(tmp_path / "other.weights.h5")
    assert "has a bias in conv1_conv;" in refusal(tmp_path / "other.h5")


@pytest.mark.parametrize("depth", [169, 201])
@pytest.mark.parametrize("library", ["keras", "tf_keras"])
def test_deeper_densenet_of_keras_comes_back(tmp_path: Path, depth: int, library: str) -> None:
    keras = pytest.importorskip(library)
    make = getattr(keras.applications, f"DenseNet{depth}")
    model = make(weights=None, input_shape=(64, 64, 3), classes=3, classifier_activation="sigmoid")
    randomise(model, depth)
    for name in ("a.weights.h5", "a.h5"):
        (model.save_weights if "weights" in name else model.save)(tmp_path / name)
        found = read_keras(tmp_path / name)
        assert (found.architecture, found.outputs) == (f"densenet{depth}", 3)
        assert all(
            np.array_equal(*pair)
            for pair in zip(
                found.arrays, (w for layer in model.layers for w in layer.get_weights()), strict=True
            )
        )


@pytest.mark.parametrize("file", ["a.weights.h5", "a.keras", "a.h5"])
def test_densenet_without_a_head_is_refused(keras_3: Original, tmp_path: Path, file: str) -> None:
    (keras_3.trunk.save_weights if "weights" in file else keras_3.trunk.save)(tmp_path / file)
    assert "has no head" in refusal(tmp_path / file)


def changed_groups(change: Callable[[list[tuple[str, dict[str, NDArray[Any]]]]], None]) -> Any:
    layers = by_hand(np.random.default_rng(4))
    change(layers)
    return {name: {f"{name}/{role}:0": a for role, a in arrays.items()} for name, arrays in layers}


def swap(layers: list[tuple[str, dict[str, NDArray[Any]]]], first: int, second: int) -> None:
    layers[first], layers[second] = layers[second], layers[first]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda layers: layers.append(("second", layers[-1][1])),
            ["2 dense layers"],
        ),
        (
            lambda layers: layers.pop(3),
            ["119 convolutions", "121 batch norms"],
        ),
        (
            lambda layers: swap(layers, 3, 5),
            ["conv2_block1_2_conv: kernel is (3, 3, 128, 32)", "conv2_block1_1_conv has (1, 1, 64, 128)"],
        ),
        (
            lambda layers: layers[1][1].pop("beta"),
            ["conv1_bn holds gamma, moving_mean, moving_variance"],
        ),
        (
            lambda layers: layers[1][1].update(gamma=np.ones(65, dtype=np.float32)),
            ["conv1_bn: gamma is (65,)", "(64,)"],
        ),
        (
            lambda layers: layers[0][1].update(kernel=np.ones((7, 7, 4, 64), dtype=np.float32)),
            ["4 channels"],
        ),
        (
            lambda layers: layers[0][1].update(kernel=np.ones((64, 3, 7, 7), dtype=np.float32)),
            ["conv1_conv: kernel is (64, 3, 7, 7)", "(7, 7, "],
        ),
        (
            lambda layers: layers[-1][1].pop("bias"),
            ["predictions holds kernel (a kernel of 2 axes)"],
        ),
        (
            lambda layers: layers[-1][1].update(kernel=np.ones((512, 14))),
            ["predictions: kernel is (512, 14)", "(1024, 14)"],
        ),
        (
            lambda layers: layers[-1][1].update(kernel=np.ones((1024, 0)), bias=np.ones(0)),
            ["0 outputs"],
        ),
        (
            lambda layers: layers[-1][1].update(bias=np.ones(14, dtype=np.int64)),
            ["predictions: bias is of type int64"],
        ),
    ],
)
def test_first_difference_is_named(tmp_path: Path, change: Any, expected: list[str]) -> None:
    message = refusal(write_legacy(tmp_path / "a.h5", changed_groups(change)))
    for part in expected:
        assert part in message


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["conv4_block3_1_conv", "bn", "predictions"])
def test_values_that_are_no_numbers_are_refused(spoiled: Path, where: str, value: float) -> None:
    with h5py.File(spoiled, "r+") as file:
        name = file[where].attrs["weight_names"][0]
        file[where][name][-1] = value
    message = refusal(spoiled)
    assert f"{where}: " in message
    assert "NaN or infinite" in message


def test_float64_that_is_too_large_for_float32_is_refused(tmp_path: Path) -> None:
    groups = changed_groups(lambda layers: layers[-1][1].update(bias=np.full(14, 1e300)))
    assert "predictions: bias has values that are NaN or infinite" in refusal(
        write_legacy(tmp_path / "a.h5", groups)
    )


def test_negative_variance_is_refused(spoiled: Path) -> None:
    with h5py.File(spoiled, "r+") as file:
        file["bn/bn/moving_variance:0"][7] = -0.5
    assert "bn: moving_variance has negative values" in refusal(spoiled)


def test_weights_that_are_named_but_missing_are_refused(spoiled: Path) -> None:
    with h5py.File(spoiled, "r+") as file:
        del file["bn/bn/gamma:0"]
    assert "bn/gamma:0 is named in it, but is not there" in refusal(spoiled)


def test_keras_3_trunk_in_two_parts_is_refused(keras_3: Original, tmp_path: Path) -> None:
    keras_3.flat.save_weights(tmp_path / "a.weights.h5")
    with h5py.File(tmp_path / "a.weights.h5", "r+") as file:
        file.move("layers/conv2d_7", "layers/functional/layers/conv2d")
    message = refusal(tmp_path / "a.weights.h5")
    assert "2 parts" in message
    assert "layers/functional/layers" in message


# --- no weights at all -------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0001, 0.5, 0.999])
def test_truncated_file_is_refused(weights_file: Path, tmp_path: Path, share: float) -> None:
    content = weights_file.read_bytes()
    (tmp_path / "a.h5").write_bytes(content[: int(len(content) * share)])
    assert "damaged or not complete" in refusal(tmp_path / "a.h5")


def test_truncated_keras_file_is_refused(keras_3: Original, tmp_path: Path) -> None:
    keras_3.flat.save(tmp_path / "a.keras")
    content = (tmp_path / "a.keras").read_bytes()
    (tmp_path / "a.keras").write_bytes(content[:-1000])
    assert "damaged or not complete" in refusal(tmp_path / "a.keras")


def test_keras_file_with_one_other_byte_is_refused(keras_3: Original, tmp_path: Path) -> None:
    keras_3.flat.save(tmp_path / "a.keras")
    content = bytearray((tmp_path / "a.keras").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "a.keras").write_bytes(content)
    assert "damaged or not complete" in refusal(tmp_path / "a.keras")


def test_hdf5_of_something_else_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = np.zeros((3, 3))
    assert "images is an array where Keras has none" in refusal(tmp_path / "a.h5")


def test_hdf5_with_nothing_in_it_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w"):
        pass
    assert "holds 0 convolutions" in refusal(tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "0 bytes"),
        (b"version https://git-lfs.github.com/spec/v1\n", "neither HDF5 nor a .keras file"),
        (pickle.dumps([1, 2]), "is a pickle"),
        (b"PK\x03\x04 and no more", "damaged or not complete"),
    ],
    ids=["empty", "text", "pickle", "start of a zip"],
)
def test_other_content_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "a.h5").write_bytes(content)
    assert expected in refusal(tmp_path / "a.h5")


def test_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.keras", "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    assert "is a zip without model.weights.h5" in refusal(tmp_path / "a.keras")


def test_folder_and_missing_file_are_refused(tmp_path: Path) -> None:
    assert "is a folder" in refusal(tmp_path)
    assert "No such file" in refusal(tmp_path / "missing.h5")
