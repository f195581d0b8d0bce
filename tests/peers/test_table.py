"""The table of docs/models.md: each wrapping, made by its library, scores here as it does at home."""

import argparse
import copy
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support import ROOT

from config.cards.classification import Preprocessing
from config.cards.model import Classifier
from jobs.phantoms.archive import draw, plan_archive
from jobs.sources.folder import FolderSource
from workers.inference.formats.decode import read_picture
from workers.inference.formats.picture import Picture
from workers.inference.networks.network import network_of, probabilities_of
from workers.inference.pixels import prepare
from workers.models import add
from workers.models.kinds import weights_in
from workers.models.original import TOLERANCE
from workers.models.torch_files import read_torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch", reason="torch is a peer: make test-peers")
    torchvision = pytest.importorskip("torchvision", reason="torchvision is a peer: make test-peers")

nn = torch.nn
SIZE = 96
OUTPUTS = 3
IMAGENET: dict[str, Any] = {
    "channels": 3, "factor": 1 / 255, "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)
}  # fmt: skip
ONE_CHANNEL: dict[str, Any] = {"channels": 1, "factor": 1 / 255, "mean": (0.5,), "std": (0.25,)}
GREYS: dict[str, Any] = {"channels": 3, "factor": 1.0, "mean": (120.5,) * 3, "std": (60.25,) * 3}

pytestmark = [
    pytest.mark.usefixtures("tensorflow", "in_this_process"),
    pytest.mark.filterwarnings("ignore"),  # of the libraries' own code; what their files give is what counts
]

Scores = Callable[[list[Path]], NDArray[np.float64]]
"""A network's own probabilities for pictures, prepared as at home: (pictures, outputs)."""


@dataclass(frozen=True)
class Row:
    """A row of the table.

    `make`: writes the wrapping to a folder; returns its path, and how its network scores pictures.
    `pixels`: what a card says of the preparation that `make`'s network scores with.
    """

    wrapping: str
    library: str
    make: Callable[[Path], tuple[Path, Scores]]
    pixels: dict[str, Any]


# --- torch -------------------------------------------------------------------------------------------------


@cache
def drawn(channels: int) -> Any:
    """Draw phantoms: of noise the deep layers' statistics would be far from those of radiographs."""
    pixels = Preprocessing.model_validate(
        {"size": SIZE, "resize": "bilinear"} | (IMAGENET if channels == 3 else ONE_CHANNEL)
    )
    pictures = [prepare(Picture(draw(phantom)), pixels) for phantom in plan_archive(8, seed=5)]
    return torch.from_numpy(np.ascontiguousarray(np.stack(pictures).transpose(0, 3, 1, 2)))


def lively(make: Callable[[], Any], channels: int = 3) -> Any:
    """Make a network with seeded numbers of its own in every array, and logits of about -2 to 2."""
    torch.manual_seed(11)
    network = make()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    head = next(module for module in network.modules() if isinstance(module, nn.Linear))
    phantoms = drawn(channels)
    with torch.no_grad():
        for norm in norms:
            norm.momentum = 1.0
            norm.weight.uniform_(0.8, 1.25)
            norm.bias.normal_(0.0, 0.1)
        network.train()(phantoms)
        for norm in norms:
            norm.momentum = 0.1
        head.bias.zero_()
        logits = network.eval()(phantoms)
        spread = logits.std(dim=0)
        head.weight.div_(spread[:, None])
        head.bias.copy_(-logits.mean(dim=0) / spread)
    return network


@cache
def densenet(depth: int = 121) -> Any:
    make = getattr(torchvision.models, f"densenet{depth}")
    return lively(lambda: make(weights=None, num_classes=OUTPUTS))


def by_torch(network: Any, pixels: dict[str, Any], *, sigmoid: bool = True) -> Scores:
    transforms = torchvision.transforms
    steps = transforms.Compose(
        [
            transforms.Resize((SIZE, SIZE)),
            transforms.ToTensor(),
            transforms.Normalize(pixels["mean"], pixels["std"]),
        ]
    )

    def scores(paths: list[Path]) -> NDArray[np.float64]:
        mode = "RGB" if pixels["channels"] == 3 else "L"
        inputs = torch.stack([steps(Image.open(path).convert(mode)) for path in paths])
        with torch.inference_mode():
            outputs = network(inputs)
        found: NDArray[np.float64] = (torch.sigmoid(outputs) if sigmoid else outputs).double().numpy()
        return found

    return scores


def saved_by_torch(
    wrap: Callable[[Any], Any],
    folder: Path,
    *,
    network: Callable[[], Any] = densenet,
    pixels: dict[str, Any] = IMAGENET,
) -> tuple[Path, Scores]:
    path = folder / "model.pth"
    torch.save(wrap(network()), path)
    return path, by_torch(network(), pixels)


def state_of(network: Any) -> Any:
    return network.state_dict()


def computing(change: Callable[[Any], Any], folder: Path, *, sigmoid: bool = True) -> tuple[Path, Scores]:
    """Save the state dict of a network that was put together of torchvision's, which scores by itself."""
    changed = change(copy.deepcopy(densenet())).eval()
    torch.save(changed.state_dict(), folder / "model.pth")
    return folder / "model.pth", by_torch(changed, IMAGENET, sigmoid=sigmoid)


class Headed(torch.nn.Module):  # type: ignore[misc, name-defined]
    """A backbone whose classifier is dropped, with a head of another name."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.fc, self.backbone = network.classifier, network
        self.backbone.classifier = nn.Identity()

    def forward(self, inputs: Any) -> Any:
        return self.fc(self.backbone(inputs))


def with_last_layers(network: Any) -> Any:
    network.classifier = nn.Sequential(nn.Dropout(0.2), network.classifier, nn.Sigmoid())
    return network


def without_bias(network: Any) -> Any:
    head = nn.Linear(1024, OUTPUTS, bias=False)
    head.weight = network.classifier.weight
    network.classifier = head
    return network


def in_sequence(*features: Any, head: Any) -> Any:
    return nn.Sequential(*features, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)


def fastais(network: Any) -> Any:
    head = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), network.classifier)
    return nn.Sequential(nn.Sequential(network.features), head)


def checkpoint(network: Any) -> Any:
    return {
        "args": argparse.Namespace(data=Path("/data"), lr=np.float32(0.1)),
        "best": np.float64(0.8),
        "weights": {"params": network.state_dict()},
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(OUTPUTS, 1024)}}},
    }


def in_safetensors(folder: Path) -> tuple[Path, Scores]:
    from safetensors.torch import save_file

    save_file(densenet().state_dict(), folder / "model.safetensors")
    return folder / "model.safetensors", by_torch(densenet(), IMAGENET)


EXAMPLE = (torch.zeros(1, 3, SIZE, SIZE),)


def program(write: Callable[[Any, Path], None], name: str, folder: Path) -> tuple[Path, Scores]:
    write(densenet(), folder / name)
    return folder / name, by_torch(densenet(), IMAGENET)


def traced(network: Any, path: Path) -> None:
    torch.jit.save(torch.jit.trace(network, EXAMPLE), path)


def exported(network: Any, path: Path) -> None:
    torch.export.save(torch.export.export(network, EXAMPLE), path)


def onnx(network: Any, path: Path, *, dynamo: bool) -> None:
    torch.onnx.export(network, EXAMPLE, path, dynamo=dynamo, verbose=False)


# --- libraries of torch's -----------------------------------------------------------------------------------


@cache
def timms(depth: int) -> Any:
    timm = pytest.importorskip("timm")
    return lively(lambda: timm.create_model(f"densenet{depth}", num_classes=OUTPUTS))


def hub_folder(folder: Path) -> tuple[Path, Scores]:
    from timm.models import save_for_hf

    save_for_hf(timms(121), folder / "hub")
    weights = weights_in(folder / "hub")
    assert weights is not None
    return weights, by_torch(timms(121), IMAGENET)


@cache
def monais(depth: int) -> Any:
    nets = pytest.importorskip("monai.networks.nets")
    make = getattr(nets, f"DenseNet{depth}")
    return lively(lambda: make(spatial_dims=2, in_channels=1, out_channels=OUTPUTS), channels=1)


@cache
def torchxrayvisions() -> Any:
    models = pytest.importorskip("torchxrayvision").models
    return lively(lambda: models.DenseNet(weights=None, num_classes=OUTPUTS), channels=1)


def lightnings(folder: Path) -> tuple[Path, Scores]:
    lightning = pytest.importorskip("pytorch_lightning")

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.save_hyperparameters({"lr": 0.1})
            self.model = copy.deepcopy(densenet())
            self.criterion = nn.BCEWithLogitsLoss(pos_weight=torch.ones(OUTPUTS))

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.parameters())

    trainer = lightning.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder,
    )  # fmt: skip
    trainer.strategy.connect(Module())
    trainer.save_checkpoint(folder / "last.ckpt")
    return folder / "last.ckpt", by_torch(densenet(), IMAGENET)


# --- Keras -------------------------------------------------------------------------------------------------


@cache
def arrays_of(depth: int, folder: Path) -> list[NDArray[np.float32]]:
    """Return lively numbers in Keras' order: torchvision's."""
    torch.save(densenet(depth).state_dict(), folder / "source.pth")
    return read_torch(folder / "source.pth", trust_pickle=False).arrays


def kerases(library: Any, depth: int, folder: Path) -> Any:
    make = getattr(library.applications, f"DenseNet{depth}")
    trunk = make(include_top=False, weights=None, input_shape=(SIZE, SIZE, 3), pooling="avg")
    head = library.layers.Dense(OUTPUTS, activation="sigmoid", name="predictions")
    model = library.Model(trunk.input, head(trunk.output))
    model.set_weights(arrays_of(depth, folder))
    return model


def by_keras(
    write: Callable[[Any, Path], object], name: str, folder: Path, *, library: str = "keras", depth: int = 121
) -> tuple[Path, Scores]:
    keras = pytest.importorskip(library)
    model = kerases(keras, depth, folder)
    write(model, folder / name)

    def scores(paths: list[Path]) -> NDArray[np.float64]:
        loaded = [keras.utils.load_img(path, target_size=(SIZE, SIZE)) for path in paths]
        greys = np.stack([keras.utils.img_to_array(picture) for picture in loaded])
        inputs = (greys - GREYS["mean"][0]) / GREYS["std"][0]
        return np.asarray(model(inputs.astype(np.float32), training=False), np.float64)

    path = weights_in(folder / name) if (folder / name).is_dir() else folder / name
    assert path is not None
    return path, scores


def save(model: Any, path: Path) -> None:
    model.save(path)


def save_weights(model: Any, path: Path) -> None:
    model.save_weights(path)


def export(model: Any, path: Path) -> None:
    model.export(path, verbose=False)


def by_tf2onnx(model: Any, path: Path) -> None:
    import tensorflow as tf

    tf2onnx = pytest.importorskip("tf2onnx")
    entry = tf.TensorSpec((None, SIZE, SIZE, 3), tf.float32, name="pictures")
    compute = tf.function(lambda pictures: model(pictures, training=False), input_signature=[entry])
    tf2onnx.convert.from_function(compute, input_signature=[entry], opset=17, output_path=str(path))


# --- the table ---------------------------------------------------------------------------------------------


def rows() -> Iterator[Row]:
    def torch_row(wrapping: str, make: Any, library: str = "torch") -> Row:
        return Row(wrapping, library, make, IMAGENET)

    for depth in (121, 161, 169, 201):
        network = partial(densenet, depth)
        made = partial(saved_by_torch, state_of, network=network)
        yield torch_row(f"State dict of DenseNet-{depth}", made, "torchvision")
    yield torch_row(
        "A checkpoint with keys below keys, a Namespace, paths", partial(saved_by_torch, checkpoint)
    )
    yield torch_row("`DataParallel`", partial(saved_by_torch, lambda net: nn.DataParallel(net).state_dict()))
    averaged = torch.optim.swa_utils.AveragedModel
    yield torch_row("`AveragedModel` (SWA)", partial(saved_by_torch, lambda net: averaged(net).state_dict()))
    yield torch_row("Pickled module, `--trust-pickle`", partial(saved_by_torch, lambda net: net))
    yield torch_row("A head of another name", partial(computing, Headed))
    yield torch_row("A head with dropout and sigmoid", partial(computing, with_last_layers, sigmoid=False))
    yield torch_row("A head without a bias", partial(computing, without_bias))
    yield torch_row(
        "`Sequential(features, ...)`",
        partial(computing, lambda net: in_sequence(net.features, head=net.classifier)),
    )
    yield torch_row(
        "`Sequential` of the features' children",
        partial(computing, lambda net: in_sequence(*net.features.children(), head=net.classifier)),
    )
    yield torch_row("fastai's layout, with one linear layer", partial(computing, fastais))
    yield torch_row("safetensors", in_safetensors, "safetensors")
    yield torch_row("TorchScript, `--trust-pickle`", partial(program, traced, "model.pt"))
    yield torch_row("`torch.export`, `--trust-pickle`", partial(program, exported, "model.pt2"))
    newer, older = partial(onnx, dynamo=True), partial(onnx, dynamo=False)
    yield torch_row("ONNX by torch's exporter", partial(program, newer, "new.onnx"), "onnxscript")
    yield torch_row("ONNX by torch's older exporter", partial(program, older, "old.onnx"), "onnx")
    for depth in (121, 161):
        made = partial(saved_by_torch, state_of, network=partial(timms, depth))
        yield torch_row(f"timm's DenseNet-{depth}", made, "timm")
    yield torch_row("Hugging Face folder of timm's DenseNet-121", hub_folder, "timm")
    yield torch_row("Lightning's checkpoint, with a loss", lightnings, "pytorch-lightning")
    for depth in (121, 169, 201):
        made = partial(saved_by_torch, state_of, network=partial(monais, depth), pixels=ONE_CHANNEL)
        yield Row(f"MONAI's DenseNet-{depth}, one channel", "monai", made, ONE_CHANNEL)
    made = partial(saved_by_torch, state_of, network=torchxrayvisions, pixels=ONE_CHANNEL)
    yield Row("TorchXRayVision's state dict, one channel", "torchxrayvision", made, ONE_CHANNEL)

    for name, write, file in (
        ("`.keras`", save, "a.keras"),
        ("`.weights.h5`", save_weights, "a.weights.h5"),
        ("HDF5 of `save`", save, "a.h5"),
    ):
        yield Row(f"Keras 3: {name}", "keras", partial(by_keras, write, file), GREYS)
    for depth in (169, 201):
        made = partial(by_keras, save_weights, "a.weights.h5", depth=depth)
        yield Row(f"Keras 3: `.weights.h5` of DenseNet-{depth}", "keras", made, GREYS)
    yield Row("Keras 3: SavedModel, `--trust-pickle`", "keras", partial(by_keras, export, "ward"), GREYS)
    for name, write in (("HDF5 of `save_weights`", save_weights), ("HDF5 of `save`", save)):
        yield Row(f"Keras 2: {name}", "tf-keras", partial(by_keras, write, "a.h5", library="tf_keras"), GREYS)
    yield Row("ONNX by tf2onnx, of Keras 3", "tf2onnx", partial(by_keras, by_tf2onnx, "a.onnx"), GREYS)


ROWS = list(rows())


@pytest.fixture(scope="module")
def radiographs(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three radiographs: a grey one, one of those that NIH ships as RGBA, and one that is not square."""
    by_mode: dict[str, list[Path]] = {"L": [], "RGBA": []}
    for file in sorted((real_data / "nih" / "images").glob("*.png")):
        with Image.open(file) as picture:
            by_mode[picture.mode].append(file)
    cut = tmp_path_factory.mktemp("cut") / "not-square.png"
    with Image.open(by_mode["L"][1]) as picture:
        picture.crop((100, 0, picture.width - 103, picture.height)).save(cut)
    return [by_mode["L"][0], by_mode["RGBA"][0], cut]


@pytest.fixture(scope="module")
def build(tensorflow: Any, untrained: Classifier) -> Callable[[str, Preprocessing], Any]:
    """Build our network of an architecture, once for all rows with it."""
    assert tensorflow

    @cache
    def built(architecture: str, pixels: Preprocessing) -> Any:
        named = {"findings": tuple("abc"), "architecture": architecture, "pixels": pixels, "final_relu": True}
        card = untrained.card.model_copy(update=named)
        return network_of(card).build(card)

    return built


@pytest.mark.parametrize("row", ROWS, ids=[row.wrapping for row in ROWS])
def test_wrapping_scores_as_at_home(
    row: Row,
    radiographs: list[Path],
    build: Callable[[str, Preprocessing], Any],
    tmp_path: Path,
) -> None:
    path, at_home = row.make(tmp_path)
    found = add._read(path, None, trust_pickle="--trust-pickle" in row.wrapping)
    resize = "nearest" if row.pixels is GREYS else "bilinear"
    pixels = Preprocessing.model_validate({"size": SIZE, "resize": resize} | row.pixels)
    network = build(found.architecture, pixels)
    if named := re.search(r"DenseNet-(\d+)", row.wrapping):
        assert found.architecture == f"densenet{named[1]}"
    network.set_weights(found.arrays)
    pictures = (read_picture(FolderSource(file.parent), file.name, 64_000_000) for file in radiographs)
    ours = probabilities_of(network, np.stack([prepare(picture, pixels) for picture in pictures]))
    theirs = at_home(radiographs)
    assert theirs.shape == (3, OUTPUTS)
    assert np.ptp(theirs, axis=0).max() > 1e-3, "the pictures are not told apart"
    difference = float(np.abs(ours - theirs).max())
    print(f"largest difference: {row.wrapping}: {difference:.1g}")  # noqa: T201  # seen with -s
    assert difference <= TOLERANCE


def test_table_in_the_docs_has_these_rows_and_versions() -> None:
    text = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    table = text.partition("| wrapping | library | largest difference |\n|---|---|---|\n")[2].partition(
        "\n\n"
    )[0]
    listed = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert [(wrapping, library) for wrapping, library, _ in listed] == [
        (row.wrapping, f"{row.library} {version(row.library)}") for row in ROWS
    ]
    assert all(0 <= float(difference) <= TOLERANCE for _, _, difference in listed)
