"""A pickled module that is trusted computes in a process of its own, and is compared with what was read."""

import copy
import re
import socket
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from config.cards.classification import ClassificationCard
from config.errors import ConfigError
from workers.models.bounded import OriginalError
from workers.models.original import TOLERANCE, Original, compare
from workers.models.torch_files import read_torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch", reason="torch is a peer: make test-peers")

nn = torch.nn
pytestmark = pytest.mark.usefixtures("tensorflow")


@pytest.fixture
def compared(small_network: Any, small_card: ClassificationCard, tmp_path: Path) -> Callable[..., float]:
    """Save a module, read it, and compare."""

    def bring(content: Any) -> float:
        path = tmp_path / "model.pth"
        torch.save(content, path)
        found = read_torch(path, trust_pickle=True)
        assert found.module is not None
        small_network.set_weights(found.arrays)
        original = Original(path, found.module, tuple(range(found.outputs)))
        return compare(original, small_network, small_card, TOLERANCE)

    return bring


def parts(network: Any, *layers: Any) -> Any:
    return nn.Sequential(
        copy.deepcopy(network.features), *layers, nn.Flatten(), copy.deepcopy(network.classifier)
    )


RIGHT: dict[str, Callable[[Any], Any]] = {
    "logits": lambda network: network,
    "probabilities": lambda network: nn.Sequential(network, nn.Sigmoid()),
    "in a checkpoint, in DataParallel": lambda network: {"net": nn.DataParallel(network), "epoch": 3},
    "parts": lambda network: parts(network, nn.ReLU(), nn.AdaptiveAvgPool2d(1)),
}


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("what", RIGHT)
def test_module_is_equal_to_the_network_that_was_read(
    what: str, densenet: Any, compared: Callable[..., float]
) -> None:
    assert 0 <= compared(RIGHT[what](densenet)) < 1e-5


WRONG: dict[str, tuple[Callable[[Any], Any], str]] = {
    "no final ReLU": (
        lambda network: parts(network, nn.AdaptiveAvgPool2d(1)),
        "no ReLU after its last batch norm; add --no-final-relu",
    ),
    "softmax": (lambda network: nn.Sequential(network, nn.Softmax(dim=1)), "a softmax.*it has Softmax"),
    "max pooling": (
        lambda network: parts(network, nn.ReLU(), nn.AdaptiveMaxPool2d(1)),
        "it has AdaptiveMaxPool2d",
    ),
}


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("what", WRONG)
def test_module_that_computes_another_thing_is_refused(
    what: str, densenet: Any, compared: Callable[..., float]
) -> None:
    make, says = WRONG[what]
    with pytest.raises(ConfigError, match=f"differs from the original .*{says}"):
        compared(make(densenet))


# --- bounds ------------------------------------------------------------------------------------------------

HOSTILE = """
import os, socket, time
import torch

class Net(torch.nn.Module):
    def __init__(self, network, deeds):
        super().__init__()
        self.network, self.deeds = network, deeds

    def forward(self, inputs):
        ends = []
        for deed in self.deeds:
            try:
                exec(deed)
                ends.append("done")
            except Exception as error:
                ends.append(f"{type(error).__name__} {error}")
        if self.deeds:
            raise RuntimeError(" | ".join(ends).replace(chr(10), " "))
        return self.network(inputs)
"""


@pytest.fixture
def hostile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, densenet: Any, compared: Callable[..., float]
) -> Callable[..., float]:
    """Compare a module whose forward does deeds, and says how each of them ended."""
    (tmp_path / "hostile_network.py").write_text(HOSTILE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    def attempt(*deeds: str) -> float:
        import importlib

        return compared(importlib.import_module("hostile_network").Net(densenet, deeds))

    return attempt


@pytest.fixture
def listener() -> Iterator[tuple[int, list[object]]]:
    """A server on this machine, and who came."""
    came: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        ended = threading.Event()

        def accept() -> None:
            while not ended.is_set():
                try:
                    connection, address = server.accept()
                except TimeoutError:
                    continue
                connection.close()
                came.append(address)

        thread = threading.Thread(target=accept)
        thread.start()
        yield server.getsockname()[1], came
        ended.set()
        thread.join()


@pytest.mark.processes
def test_module_reaches_neither_network_nor_programs_nor_passwords_nor_all_memory(
    hostile: Callable[..., float],
    listener: tuple[int, list[object]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NIGHTREAD_DATABASE_URL", "postgresql://me:secret@db/nightread")
    port, came = listener
    with pytest.raises(OriginalError) as caught:
        hostile(
            f"socket.socket().connect(('127.0.0.1', {port}))",
            f"os.system('touch {tmp_path}/touched')",
            "os.environ['NIGHTREAD_DATABASE_URL']",
            "torch.ones(3 * 2**30)",
        )
    network, program, password, memory = str(caught.value).removeprefix("RuntimeError: ").split(" | ")
    assert "may not do this: socket.connect" in network
    assert came == []
    assert "may not do this: os.system" in program
    assert not (tmp_path / "touched").exists()
    assert password == "KeyError 'NIGHTREAD_DATABASE_URL'"
    assert re.search("allocate|memory", memory)


@pytest.mark.processes
def test_module_is_compared_in_its_process_and_no_longer_than_allowed(
    hostile: Callable[..., float], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 0 <= hostile() < 1e-5
    monkeypatch.setattr("workers.models.bounded._SECONDS", 10)
    with pytest.raises(OriginalError, match="did not answer in 10 s"):
        hostile("time.sleep(600)")
