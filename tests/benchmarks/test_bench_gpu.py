"""The GPU's benchmark runs where there is no GPU, and says of golden scores what a worker would do."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support import ROOT

from config.cards.model import SHIPPED, Classifier, Model, read_model, require_classifier
from workers.inference.engine import Inference

sys.path.append(str(ROOT / "benchmarks"))

import bench_gpu
from bench_gpu import Golden, Machine, golden_of, golden_rows, page


@dataclass
class OffEngine:
    """Gives a card's golden scores for anything, but for one that is off by so much."""

    model: Classifier
    off: float
    name: str = "tensorflow"
    batch: int = 8

    def infer(self, inputs: NDArray[np.float32]) -> Inference:
        scores = np.array(self.model.card.golden, dtype=np.float32)
        scores[3] += self.off
        count = len(inputs)
        return Inference(
            np.repeat(scores[None], count, axis=0), np.zeros((count, 1, 1, 14), np.float32), scores
        )


@pytest.fixture(scope="module")
def model() -> Classifier:
    demo = require_classifier(read_model(SHIPPED / "demo"))
    return Model(demo.folder, demo.card.model_copy(update={"golden_film": None}))


@pytest.mark.parametrize(
    ("name", "off", "reached"),
    [
        ("tensorflow", 0.00005, True),
        ("tensorflow", 0.0002, False),
        ("tensorflow-gpu", 0.0002, True),
        ("tensorflow-gpu", 0.03, False),
    ],
)
def test_mixed_precision_has_a_tolerance_of_its_own(
    model: Classifier, name: str, off: float, *, reached: bool
) -> None:
    found = golden_of(OffEngine(model, off, name), model, 2)
    assert found.largest == pytest.approx(off, rel=0.01)
    assert found.reached is reached
    assert found.scores.shape == (2, 14)


def test_each_gpu_is_compared_with_its_card_and_with_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = np.full((2, 14), 0.5, dtype=np.float32)
    answers: dict[str, Golden | str] = {
        "0": Golden("tensorflow-gpu", 32, 0.001, 0.02, plain + np.float32(0.01)),
        "1": "model demo: for the test pattern Mass is 0.9",
        "": Golden("tensorflow", 8, 1e-6, 1e-4, plain),
    }
    monkeypatch.setattr(bench_gpu, "in_a_process", lambda _work, gpu, _pictures: answers[gpu])
    rows = golden_rows(Machine(("0", "1"), ()), 2)
    assert [(row.what.partition(",")[0], row.reached) for row in rows] == [
        ("golden scores on GPU 0", True),
        ("golden scores on GPU 1", False),
        ("golden scores on the processor", True),
        ("2 phantoms", True),
    ]
    written = page(Machine(("0", "1"), ("GPU 0, A card, 80 GB",)), rows)
    assert "- GPU 0, A card, 80 GB" in written
    assert "| golden scores on GPU 1 | model demo: for the test pattern Mass is 0.9 |  | **no** |" in written


@pytest.mark.processes
def test_without_a_gpu_it_says_so_and_measures_the_processor(tmp_path: Path) -> None:
    table = tmp_path / "table.md"
    command = [sys.executable, ROOT / "benchmarks" / "bench_gpu.py", "--only", "decode"]
    done = subprocess.run(
        [*map(str, command), "--seconds", "1", "--rounds", "1", "--output", str(table)],
        env={key: value for key, value in os.environ.items() if key != "NIGHTREAD_REAL_DATA"}
        | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "no GPU: the processor's part is measured" in done.stdout
    written = table.read_text(encoding="utf-8")
    assert "- no GPU" in written
    for kind in ("PNG", "DICOM, uncompressed"):
        assert f"| decoding {kind}, 2 threads in one child | " in written
