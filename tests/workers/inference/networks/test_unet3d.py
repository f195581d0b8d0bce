"""The 3-D U-Net in code is the course's: its number of parameters, its layers, its forward pass."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unet_support import course_layout
from volume_support import segmentation_card

from config.errors import ConfigError
from workers.models.unet_files import planned_shapes, read_unet

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def built(**fields: Any) -> Any:
    from workers.inference.networks.network import network_of

    card = segmentation_card(**fields)
    return network_of(card).build(card)


def test_parameters_are_as_many_as_the_courses(tensorflow: Any) -> None:
    assert tensorflow
    assert built(base=32, depth=4).count_params() == 16_318_307
    assert built(base=8, depth=4).count_params() == 1_021_019


@pytest.mark.parametrize(("base", "depth"), [(2, 4), (3, 3), (4, 2)])
def test_planned_shapes_are_the_networks(tensorflow: Any, base: int, depth: int) -> None:
    assert tensorflow
    kernels = [tuple(array.shape) for array in built(base=base, depth=depth).get_weights()[::2]]
    assert planned_shapes(base, depth, channels=4, classes=3) == kernels


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("whole", [False, True])
def test_forward_pass_is_that_of_the_courses_layout_with_the_same_file(
    tensorflow: Any, tmp_path: Path, whole: bool
) -> None:
    assert tensorflow
    # The course's file is of channels first, which TensorFlow cannot compute on a CPU: its layers are.
    first = course_layout(base=4, channels_first=True, seed=7)
    path = tmp_path / "model_pretrained.hdf5"
    (first.save if whole else first.save_weights)(path)
    last = course_layout(base=4, channels_first=False, seed=8)
    last.load_weights(path)

    read = read_unet(path)
    assert (read.base, read.depth, read.channels, read.classes) == (4, 4, 4, 3)
    ours = built(base=4, depth=4)
    ours.set_weights(read.arrays)
    patch = np.random.default_rng(1).normal(size=(1, 16, 24, 8, 4)).astype(np.float32)
    probabilities = 1 / (1 + np.exp(-np.asarray(ours(patch))))
    assert np.abs(np.asarray(last(patch)) - probabilities).max() < 1e-4
    assert probabilities.std() > 1e-3, "the file's weights were loaded, and answers differ"


def test_files_of_keras_3_are_read_too(tensorflow: Any, tmp_path: Path) -> None:
    assert tensorflow
    network = built(base=2, depth=3)
    arrays = [array + 0.5 for array in network.get_weights()]
    network.set_weights(arrays)
    network.save(tmp_path / "mine.keras")
    # Keras 3 stores layers by class and number, in the model's order.
    for ours, theirs in zip(read_unet(tmp_path / "mine.keras").arrays, arrays, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_another_network_is_refused_by_what_it_holds(tensorflow: Any, tmp_path: Path) -> None:
    import keras

    assert tensorflow
    spoiled = built(base=2, depth=2)
    outputs = keras.layers.Conv3D(3, 1)(spoiled.layers[-2].output)
    more = keras.layers.Conv3D(3, 1)(outputs)
    keras.Model(spoiled.input, more).save(tmp_path / "deeper.h5")
    with pytest.raises(ConfigError, match=r"deeper\.h5: holds 8 convolutions"):
        read_unet(tmp_path / "deeper.h5")

    dense = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    dense.save(tmp_path / "dense.h5")
    with pytest.raises(ConfigError, match="no kernel and bias of a 3-D convolution"):
        read_unet(tmp_path / "dense.h5")


def test_wrong_shapes_and_lost_trainings_are_refused(tensorflow: Any, tmp_path: Path) -> None:
    import h5py

    assert tensorflow
    network = course_layout(base=2, channels_first=False, seed=1)
    path = tmp_path / "mine.h5"
    network.save_weights(path)
    with h5py.File(path, "r+") as file:
        group = file["conv3d_3/conv3d_3"] if "conv3d_3" in file else file[next(iter(file))]
        group["bias:0"][...] = np.nan
    with pytest.raises(ConfigError, match="NaN or infinite; the training diverged"):
        read_unet(path)
    with h5py.File(path, "r+") as file:
        del group
        group = file["conv3d_3/conv3d_3"]
        del group["bias:0"]
        group["bias:0"] = np.zeros(5, np.float32)
    with pytest.raises(ConfigError, match=r"bias is \(5,\), a U-Net of base 2 has \(8,\) here"):
        read_unet(path)
