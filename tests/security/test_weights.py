"""Weights are data: what is not what the card says is not loaded, and nothing in a file is run.

For files of Keras and PyTorch: tests/workers/models/test_keras_files.py (no code of a config is run, no link
is followed) and tests/workers/models/test_add.py (a pickle is opened with --trust-pickle alone).
"""

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from support import ROOT, Nightread, QueueServer

from config.cards.model import SHIPPED, read_model, require_classifier
from config.errors import ConfigError
from workers.inference.weights import load_weights, read_arrays


class Payload:
    """Makes a file as it is unpickled."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Callable[..., int], tuple[str]]:
        return os.system, (f"touch {self.made}",)


def test_an_array_of_pickled_objects_is_refused_and_not_opened(tmp_path: Path) -> None:
    made = tmp_path / "made-by-a-pickle"
    objects = np.array([Payload(made)], dtype=object)
    np.savez(tmp_path / "weights.npz", allow_pickle=True, w0000=objects)
    with pytest.raises(ConfigError, match=r"not a whole \.npz of arrays"):
        read_arrays("mine", tmp_path / "weights.npz")
    assert not made.exists()
    # The file is what it is meant to be: whoever believes it runs the code.
    with np.load(tmp_path / "weights.npz", allow_pickle=True) as trusting:
        trusting["w0000"]
    assert made.exists()


def test_a_pickle_in_the_place_of_an_npz_is_refused_and_not_opened(tmp_path: Path) -> None:
    import pickle

    made = tmp_path / "made-by-a-pickle"
    (tmp_path / "weights.npz").write_bytes(pickle.dumps(Payload(made)))
    with pytest.raises(ConfigError, match=r"not a whole \.npz of arrays"):
        read_arrays("mine", tmp_path / "weights.npz")
    assert not made.exists()


def test_a_changed_byte_is_found_before_the_file_is_parsed(tmp_path: Path) -> None:
    folder = shutil.copytree(SHIPPED / "demo", tmp_path / "demo")
    content = bytearray((folder / "weights.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "weights.npz").write_bytes(content)
    with pytest.raises(ConfigError, match=hashlib.sha256(content).hexdigest()):
        load_weights(
            None, require_classifier(read_model(folder))
        )  # without a network: nothing gets so far as to be filled in


def test_the_name_of_a_weights_file_leads_to_no_other_folder(tmp_path: Path) -> None:
    card = yaml.safe_load((SHIPPED / "demo" / "card.yaml").read_text(encoding="utf-8"))
    folder = tmp_path / "demo"
    folder.mkdir()
    for name in ("../weights.npz", "/etc/hostname"):
        (folder / "card.yaml").write_text(yaml.safe_dump(card | {"weights": name}), encoding="utf-8")
        # It may be named; but only a file of the card's own hash is ever parsed.
        with pytest.raises(ConfigError, match="demo"):
            load_weights(None, require_classifier(read_model(folder)))


def test_a_card_that_asks_yaml_for_an_object_is_refused(tmp_path: Path) -> None:
    made = tmp_path / "made-by-yaml"
    card = f"name: !!python/object/apply:os.system ['touch {made}']\n"
    (tmp_path / "card.yaml").write_text(card, encoding="utf-8")
    with pytest.raises(ConfigError, match="not valid YAML"):
        read_model(tmp_path)
    assert not made.exists()


@pytest.mark.processes
def test_a_worker_with_changed_weights_does_not_start(
    nightread: Nightread, queue_server: QueueServer
) -> None:
    folder = shutil.copytree(SHIPPED / "demo", nightread.home / "models" / "demo")
    content = bytearray((folder / "weights.npz").read_bytes())
    content[-1] ^= 1
    (folder / "weights.npz").write_bytes(content)
    nightread.environment["NIGHTREAD_BROKER_URL"] = queue_server.url
    worker = nightread.run("worker", "--model", "demo", "--children", "1")
    assert worker.returncode == 2
    assert "the SHA-256 of weights.npz is" in worker.stderr
    assert "it is not used" in worker.stderr


@pytest.mark.parametrize("folder", ["config", "db", "jobs", "workers"])
def test_no_source_loads_what_can_run_code(folder: str) -> None:
    """Python's loaders of objects are nowhere, torch's where it asks first, others in a bounded process."""
    found = {
        (str(path.relative_to(ROOT)), call)
        for path in (ROOT / folder).rglob("*.py")
        for call in re.findall(
            r"\b(?:load_model|model_from_\w+|deserialize_keras_object|pickle\.loads?|torch\.load|yaml\.load|"
            r"jit\.load|export\.load|saved_model\.load|allow_pickle=True|safe_mode=False|joblib\.load|eval|exec)\b",
            re.sub(r'"""(?s:.*?)"""|#.*', "", path.read_text(encoding="utf-8")),
        )
    }
    assert found <= {
        ("workers/models/torch_pickles.py", "torch.load"),
        ("workers/models/original_runs.py", "load_model"),
        ("workers/models/original_runs.py", "saved_model.load"),
        ("workers/models/original_runs.py", "jit.load"),
        ("workers/models/original_runs.py", "export.load"),
        ("workers/models/programs.py", "jit.load"),  # in advice
        ("workers/models/programs.py", "export.load"),
        ("workers/models/original_process.py", "exec"),  # the name of an event that is refused there
    }
