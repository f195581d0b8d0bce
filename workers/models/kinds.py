"""What kind of file or folder somebody brings, by its content, and what to do where it cannot be read."""

import json
import re
import zipfile
from collections.abc import Mapping
from enum import Enum, auto
from pathlib import Path
from typing import Final

from config.errors import ConfigError
from workers.inference.networks.depths import NAMES
from workers.models.advice import SAVE_STATE_DICT

SAVED_MODEL: Final = "saved_model.pb"

_HEAD_BYTES: Final = 512
_TAR_PLACE: Final = slice(257, 262)

_HDF5: Final = b"\x89HDF\r\n\x1a\n"
_ZIP: Final = b"PK\x03\x04"
_LFS: Final = b"version https://git-lfs"
_ARCHIVES: Final = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"7z\xbc\xaf": "7z",
    b"Rar!": "RAR",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_ONNX_MAKERS: Final = re.compile(
    rb"\x08.\x12.(?:pytorch|tf2onnx|onnx|keras|skl2onnx|paddle|backend)", re.DOTALL
)
_TF_CHECKPOINT: Final = re.compile(r".*\.(?:index|meta|data-\d+-of-\d+)")
_DENSENET: Final = re.compile(r"densenet[-_]?(?:121|161|169|201)(?![0-9])", re.IGNORECASE)
_FOLDERS_WEIGHTS: Final = ("model.safetensors", "pytorch_model.bin", "model.weights.h5")

_SAVE_WEIGHTS: Final = (
    "build its network again where it was trained, load these weights, and save them, in Python: "
    '`model.load_weights(...); model.save_weights("model.weights.h5")`'
)


class Kind(Enum):
    """Whose file it is."""

    KERAS = auto()
    TORCH = auto()
    SAFETENSORS = auto()
    TORCHSCRIPT = auto()
    EXPORTED = auto()
    """By torch.export."""
    ONNX = auto()
    SAVED_MODEL = auto()
    """The graph of one, whose arrays lie in the folder beside it."""


def kind_of(path: Path) -> Kind:
    """Return who wrote a weights file; ConfigError names a file that is none, and says what to do."""
    head = _head(path)
    if head.startswith(_HDF5):
        return Kind.KERAS
    if head.startswith(_ZIP):
        return _kind_of_zip(path)
    if path.suffix.lower() == ".safetensors" and not head.startswith(_LFS):
        return Kind.SAFETENSORS
    if path.name == SAVED_MODEL:
        return Kind.SAVED_MODEL
    if problem := _problem(path, head):
        raise ConfigError(f"{path}: {problem}")
    if path.suffix.lower() == ".onnx" or _ONNX_MAKERS.match(head):
        return Kind.ONNX
    return Kind.KERAS if path.suffix.lower() in {".h5", ".hdf5", ".keras"} else Kind.TORCH


def _head(path: Path) -> bytes:
    if not path.is_file():
        raise ConfigError(f"{path}: there is no such file; SOURCE is a weights file or a model folder")
    try:
        with path.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error


def _problem(path: Path, head: bytes) -> str | None:
    start = head.lstrip().lower()
    archive = next((name for magic, name in _ARCHIVES.items() if head.startswith(magic)), None)
    if head[_TAR_PLACE] == b"ustar":
        archive = "tar"
    problems = (
        (not head, "is empty; copy or download it again"),
        (
            head.startswith(_LFS),
            "is a Git-LFS pointer to the file, not the file itself; in its repository run: git lfs pull",
        ),
        (
            start.startswith((b"<!doctype html", b"<html", b"<?xml")),
            "is an HTML page, which came in place of one that needs a login; download the file itself",
        ),
        (archive, f"is an archive ({archive}); unpack it, and add the weights file that is in it"),
        (
            _TF_CHECKPOINT.fullmatch(path.name) or start.startswith(b"model_checkpoint_path"),
            f"is part of a TensorFlow checkpoint; {_SAVE_WEIGHTS}",
        ),
    )
    return next((problem for found, problem in problems if found), None)


def _kind_of_zip(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.rpartition("/")[2] for name in archive.namelist()]
    except zipfile.BadZipFile as error:
        raise ConfigError(f"{path}: its end is missing; copy or download it again") from error
    if "model.weights.h5" in names:
        return Kind.KERAS
    if "data.pkl" in names:
        # What TorchScript keeps beside the arrays, and torch.save does not.
        return Kind.TORCHSCRIPT if "constants.pkl" in names else Kind.TORCH
    if {"serialized_exported_program.json", "archive_format", "archive_version"} & set(names):
        return Kind.EXPORTED
    if names and all(name.endswith(".npy") for name in names):
        raise ConfigError(
            f"{path}: is a NumPy archive (.npz), whose arrays have no layers; {SAVE_STATE_DICT}"
        )
    if path.suffix.lower() == ".keras":
        return Kind.KERAS  # and its reader says what is missing
    raise ConfigError(f"{path}: is an archive (zip); unpack it, and add the weights file that is in it")


def weights_in(folder: Path) -> Path | None:
    """Return the weights file of another library's folder; None for a model folder, with its card.

    Hugging Face's: `config.json` says what the network is. Of a SavedModel it is the graph. Raises
    ConfigError for a folder that is known and cannot be read.
    """
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if "card.yaml" in names:
        return None
    if SAVED_MODEL in names:
        return folder / SAVED_MODEL
    if "checkpoint" in names or any(map(_TF_CHECKPOINT.fullmatch, names)):
        raise ConfigError(f"{folder}: is a folder of TensorFlow checkpoints; {_SAVE_WEIGHTS}")
    if "config.json" not in names:
        return None
    network = _network_of(folder / "config.json")
    weights = next((folder / name for name in _FOLDERS_WEIGHTS if name in names), None)
    if network and not _DENSENET.search(network):
        raise ConfigError(f"{folder}: is a Hugging Face folder of {network}; only {NAMES} can be read")
    if weights is None:
        raise ConfigError(f"{folder}: is a Hugging Face folder without {' or '.join(_FOLDERS_WEIGHTS[:2])}")
    return weights


def _network_of(path: Path) -> str | None:
    """Return what a config calls its network: timm's `architecture`, transformers' class or type."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: is not the JSON of a config: {error}") from error
    if not isinstance(config, Mapping):
        return None
    classes = config.get("architectures")
    named = [
        config.get("architecture"),
        *(classes if isinstance(classes, list) else []),
        config.get("model_type"),
    ]
    return next((name for name in named if isinstance(name, str)), None)
