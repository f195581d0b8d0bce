"""Files and folders that are no weights are named for what they are, with what to do."""

import gzip
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from config.errors import ConfigError
from workers.models.kinds import Kind, kind_of, weights_in
from workers.models.strangers import name_stranger

OTHERS: dict[str, tuple[str, bytes, str, str]] = {
    "Git-LFS pointer": (
        "model.safetensors",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 28000000\n",
        "is a Git-LFS pointer",
        "git lfs pull",
    ),
    "HTML page": ("model.pth", b"\n<!DOCTYPE html><html><body>Sign in", "is an HTML page", "download"),
    "empty": ("model.h5", b"", "is empty", "download it again"),
    "gzip": ("model.pth.gz", gzip.compress(b"weights"), "is an archive (gzip)", "unpack it"),
    "TensorFlow's index": ("model.ckpt.index", b"\x00\x00", "TensorFlow checkpoint", "save_weights("),
    "TensorFlow's data": ("m.data-00000-of-00001", b"\x00", "TensorFlow checkpoint", "save_weights("),
    "TensorFlow's list": ("checkpoint", b'model_checkpoint_path: "a"', "TensorFlow ch", "save_weights("),
}


@pytest.mark.parametrize("what", OTHERS)
def test_other_file_is_named_with_what_to_do(tmp_path: Path, what: str) -> None:
    name, content, says, advice = OTHERS[what]
    (tmp_path / name).write_bytes(content)
    message = refusal(tmp_path / name)
    assert says in message
    assert advice in message


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError, match=r"^[^\n]+$") as caught:
        weights_in(path) if path.is_dir() else kind_of(path)
    assert str(caught.value).startswith(f"{path}")
    return str(caught.value)


@pytest.mark.parametrize(
    ("members", "says"),
    [
        (["a.npy", "b.npy"], "is a NumPy archive"),
        (["readme.txt", "weights/best.pth"], "is an archive (zip); unpack it"),
    ],
)
def test_other_zip_is_named(tmp_path: Path, members: list[str], says: str) -> None:
    assert says in refusal(zipped(tmp_path / "model.pt2", members))


def zipped(path: Path, members: list[str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for member in members:
            archive.writestr(member, b"")
    return path


def test_tar_is_named(tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(b"weights")
    with tarfile.open(tmp_path / "model.tar", "w") as archive:
        archive.add(tmp_path / "weights.pth", "weights.pth")
    assert "is an archive (tar)" in refusal(tmp_path / "model.tar")


def test_missing_file_is_named(tmp_path: Path) -> None:
    assert "there is no such file" in refusal(tmp_path / "gone.pth")


@pytest.mark.parametrize("name", ["model.pth", "model.h5", "model"])
def test_content_decides_and_not_the_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert kind_of(zipped(path, ["model/data.pkl"])) is Kind.TORCH
    assert kind_of(zipped(path, ["config.json", "model.weights.h5"])) is Kind.KERAS
    assert kind_of(zipped(path, ["model/data.pkl", "model/constants.pkl"])) is Kind.TORCHSCRIPT
    assert kind_of(zipped(path, ["m/archive_format", "m/models/model.json"])) is Kind.EXPORTED
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    assert kind_of(path) is Kind.KERAS
    path.write_bytes(b"\x08\x07\x12\x07pytorch\x1a\x032.4")
    assert kind_of(path) is Kind.ONNX


# --- folders -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (["checkpoint", "a.index"], "TensorFlow checkpoints"),
        (["b.data-00000-of-00001"], "TensorFlow checkpoints"),
    ],
)
def test_folder_of_tensorflow_is_named(tmp_path: Path, names: list[str], says: str) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert says in refusal(tmp_path)


def test_graph_of_a_saved_model_is_taken_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01\x12")
    assert weights_in(tmp_path) == tmp_path / "saved_model.pb"
    assert kind_of(tmp_path / "saved_model.pb") is Kind.SAVED_MODEL


def hugging_face(folder: Path, config: dict[str, object], weights: str | None) -> Path:
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    if weights:
        (folder / weights).touch()
    return folder


@pytest.mark.parametrize(
    "config",
    [
        {"architecture": "densenet121"},
        {"architecture": "densenet161"},
        {"architectures": ["DenseNet121"]},
        {"architectures": ["DenseNet-201"]},
        {"num_labels": 14},
    ],
)
@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model.bin"])
def test_weights_of_a_hugging_face_folder_are_taken(
    tmp_path: Path, config: dict[str, object], weights: str
) -> None:
    assert weights_in(hugging_face(tmp_path, config, weights)) == tmp_path / weights


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"architectures": ["ViTForImageClassification"], "model_type": "vit"}, "ViTForImageClassification"),
        ({"architecture": "resnet50"}, "resnet50"),
        ({"architecture": "densenet1210"}, "densenet1210"),
        ({"architecture": "densenet264"}, "densenet264"),
    ],
)
def test_other_network_of_a_hugging_face_folder_is_named(
    tmp_path: Path, config: dict[str, object], name: str
) -> None:
    assert f"Hugging Face folder of {name}" in refusal(hugging_face(tmp_path, config, "model.safetensors"))


def test_hugging_face_folder_without_weights_or_with_a_broken_config_is_refused(tmp_path: Path) -> None:
    assert "without model.safetensors" in refusal(
        hugging_face(tmp_path, {"architecture": "densenet121"}, None)
    )
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    assert "is not the JSON of a config" in refusal(tmp_path)


def test_model_folder_is_left_to_its_card(tmp_path: Path) -> None:
    (tmp_path / "card.yaml").touch()
    (tmp_path / "config.json").touch()
    assert weights_in(tmp_path) is None


# --- networks by their keys --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("module.layer4.2.conv3.weight", "a ResNet"),
        ("vit.embeddings.cls_token", "a ViT"),
        ("_blocks.0._expand_conv.weight", "an EfficientNet"),
        ("layers.0.blocks.0.attn.relative_position_bias_table", "a Swin Transformer"),
        ("features.denseblock1.denselayer1.norm1.weight", None),
        ("weight", None),
    ],
)
def test_network_is_named_by_its_keys(key: str, name: str | None) -> None:
    assert name_stranger(["other", key]) == name


@pytest.mark.parametrize("depth", [121, 161, 169, 201, 264])
def test_densenet_of_another_depth_is_named_by_its_blocks(depth: int) -> None:
    blocks = {
        121: (6, 12, 24, 16), 161: (6, 12, 36, 24), 169: (6, 12, 32, 32), 201: (6, 12, 48, 32),
        264: (6, 12, 64, 48),
    }  # fmt: skip
    keys = [
        f"features.denseblock{block}.denselayer{layer}.conv1.weight"
        for block, layers in enumerate(blocks[depth], start=1)
        for layer in range(1, layers + 1)
    ]
    assert name_stranger(keys) == ("a DenseNet-264" if depth == 264 else None)
