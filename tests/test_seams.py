"""Growth costs one new file and one line: a source, a format and a network of a stranger's score a run.

Their modules are written into a package that is made here. What they are about is toys; the run is not:
manifest, card, ledger, engine, scorer and views are Nightread's own. A fourth module speaks for the runs of a
kind of answer: at their end, in their report and pages, and where a command does not suit them.
"""

import sys
from collections.abc import Iterator
from importlib import import_module, invalidate_caches
from pathlib import Path
from pkgutil import resolve_name
from textwrap import dedent
from typing import Any

import pytest
from browse_support import Site
from sqlalchemy import text
from support import CLASSIFIER_CARD, close_run, make_run, score_batches, write_card

from config.cards.classification import ARCHITECTURES, ClassificationCard
from config.cards.model import find_model
from config.errors import ConfigError
from config.settings import Settings
from db import ledger
from db.database import Database
from db.queries import auc_table, progress
from jobs.commands.session import require_suited
from jobs.errors import SourceError
from jobs.kinds.known import ANSWER_KINDS
from jobs.report.page import page_content
from jobs.results import outcome, print_figures
from jobs.sources.source import SOURCES, open_source
from jobs.submit import Order, submit
from workers.archive import RunPictures
from workers.browse.kinds import PAGES
from workers.inference.formats.decode import FORMATS
from workers.inference.golden import pattern_views
from workers.inference.networks.network import network_of
from workers.inference.weights import arrays_sha256
from workers.models.folder import golden_scores
from workers.scoring.kinds import make_scorer
from workers.scoring.scorer import ScorerOptions

SOURCE = """
    from config.content import Content
    from config.failures import ImageUnusableError, Reason
    from jobs.sources.lookup import Lookup

    SHELVES = {"shelf": {"bright.toy": b"TOY\\xf0", "dark.toy": b"TOY\\x05", "cut.toy": b"TOY"}}


    class ShelfSource:
        readers = 3

        def __init__(self, root):
            self.root = root
            self._shelf = SHELVES[root.removeprefix("shelf://")]

        def require(self):
            pass

        def look_up(self, names):
            return Lookup([name for name in names if name not in self._shelf], "")

        def parts(self, name):
            return (name,)

        def read(self, name, max_bytes):
            if name not in self._shelf:
                raise ImageUnusableError(Reason.MISSING, "it is not on the shelf")
            return Content(self._shelf[name], name)

        def tag(self, name):
            return name
"""

FORMAT = """
    import numpy as np

    from config.failures import ImageUnusableError, Reason
    from workers.inference.formats.picture import Picture


    def matches(head):
        return head.startswith(b"TOY")


    def decode(content, max_pixels, recipe):
        if len(content) != 4:
            raise ImageUnusableError(Reason.TRUNCATED, "a toy has one grey value")
        return Picture(np.full((48, 64), content[3], dtype=np.uint8))
"""

NETWORK = """
    import keras
    import tensorflow as tf

    from workers.inference.networks.network import Network


    def build(card):
        inputs = keras.Input((card.pixels.size, card.pixels.size, card.pixels.channels))
        features = keras.layers.AveragePooling2D(8)(inputs)
        pooled = keras.layers.GlobalAveragePooling2D()(features)
        logits = keras.layers.Dense(len(card.findings), name="head", dtype="float32")(pooled)
        return keras.Model(inputs, [features, logits])


    def inference(network, card):
        kernel, bias = (tf.constant(array) for array in network.get_layer("head").get_weights())

        def forward(inputs):
            features = tf.nn.avg_pool2d(inputs, 8, 8, "VALID")
            pooled = tf.reduce_mean(features, axis=(1, 2))
            return features, pooled, pooled @ kernel + bias

        return forward


    def maps(network, card):
        return lambda features: tf.repeat(tf.ones_like(features[..., :1]), len(card.findings), axis=3)


    NETWORK = Network(build=build, inference=inference, maps=maps)
"""

ANSWER = """
    from werkzeug.wrappers import Response

    from db.queries import auc_table
    from jobs.console import say
    from jobs.kinds.kind import AnswerKind
    from jobs.report.answer import AnswerReport

    REPORT = AnswerReport(
        "boxes.html.j2",
        lambda connection, subject: {"boxes": ["a box"]},
        lambda content, subject, pictures: {"boxes": ["a drawn box"]},
    )
    KIND = AnswerKind(
        noun="image",
        view="failures",
        figures="boxes",
        read_figures=auc_table,
        print_figures=lambda rows, title: say(f"{title}: {len(rows)} kinds of box"),
        beside="crops",
        objects=(),
        report="toys.answer:REPORT",
        unsuited={"worklist": "is of boxes; they are in nightread report {run}"},
    )


    class BoxPages:
        def __init__(self, run):
            self.pages = {"/": lambda arguments: Response(f"boxes of run {run.run_id}")}
"""


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package of four modules; three of them are registered, each with one line."""
    package = tmp_path / "toys"
    package.mkdir()
    modules = {"__init__": "", "source": SOURCE, "format": FORMAT, "network": NETWORK, "answer": ANSWER}
    for name, content in modules.items():
        (package / f"{name}.py").write_text(dedent(content), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    invalidate_caches()
    # The three lines:
    monkeypatch.setitem(SOURCES, "shelf", "toys.source:ShelfSource")
    monkeypatch.setitem(FORMATS, "TOY", import_module("toys.format"))
    monkeypatch.setitem(ARCHITECTURES, "toy", "toys.network")
    yield "shelf://shelf"
    for module in [name for name in sys.modules if name.partition(".")[0] == "toys"]:
        del sys.modules[module]


def write_toy_card(models: Path) -> None:
    """Write the card of the toy network, with the hash of its seeded weights and its golden scores."""
    fields: dict[str, Any] = CLASSIFIER_CARD | {
        "name": "toy",
        "architecture": "toy",
        "weights": None,
        "seed": 3,
        "findings": ["Mass", "Nodule"],
        "thresholds": [0.5, 0.5],
        "golden": [0.5, 0.5],
        "pixels": CLASSIFIER_CARD["pixels"]
        | {"size": 32, "factor": 1 / 255, "mean": [0.5], "std": [0.25], "least_contrast": 0},
    }
    draft = ClassificationCard.model_validate(fields)
    network = network_of(draft)
    built = network.build(draft)
    arrays = network.seeded_weights(built, 3)
    built.set_weights(arrays)
    write_card(
        models,
        fields
        | {"sha256": arrays_sha256(arrays), "golden": list(golden_scores(built, pattern_views(draft)))},
    )


def test_a_source_a_format_and_a_network_that_are_registered_with_one_line_each_score_a_run(
    toys: str, tensorflow: Any, sqlite: Database, tmp_path: Path
) -> None:
    assert tensorflow
    write_toy_card(tmp_path / "models")
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("Image,Mass\nbright.toy,1\ndark.toy,0\ncut.toy,0\nlost.toy,0\n", encoding="utf-8")
    settings = Settings(home=tmp_path)
    run_id = submit(sqlite, settings, Order(manifest, toys, "toy"))
    (announced,) = ledger.take_pending(sqlite, 1)
    held = ledger.claim(sqlite, announced.batch_id, "worker", 60.0)
    assert held is not None
    options = ScorerOptions("tensorflow", 1, tmp_path / "heatmaps", 10_000)
    scorer = make_scorer(find_model("toy", settings.models), options)
    assert ledger.complete(sqlite, held, scorer.score(held), scorer.engine)
    with sqlite.read() as connection:
        scores = connection.execute(
            text("SELECT image_index, finding, probability FROM scores ORDER BY image_index, finding")
        ).all()
        failures = connection.execute(
            text("SELECT image_index, stage, reason FROM failures ORDER BY image_index")
        ).all()
        roots = connection.execute(text("SELECT root FROM archive")).scalars().all()
    assert roots == [toys]
    assert [(row.image_index, row.finding) for row in scores] == [
        ("bright.toy", "Mass"),
        ("bright.toy", "Nodule"),
        ("dark.toy", "Mass"),
        ("dark.toy", "Nodule"),
    ]
    bright, dark = scores[0].probability, scores[2].probability
    assert bright != dark
    assert all(0 < row.probability < 1 for row in scores)
    assert [tuple(row) for row in failures] == [
        ("cut.toy", "read", "truncated"),
        ("lost.toy", "read", "missing"),
    ]
    assert run_id == 1


def test_without_its_line_each_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="shelf://"):
        open_source("shelf://shelf")
    write_card(tmp_path, CLASSIFIER_CARD | {"name": "toy", "architecture": "toy"})
    with pytest.raises(ConfigError, match="'toy' is no network"):
        find_model("toy", tmp_path)


def test_a_kind_of_answer_that_is_registered_with_one_line_speaks_for_its_runs(
    toys: str,
    sqlite: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert toys
    run_id = make_run(sqlite, tmp_path, 4)
    score_batches(sqlite, tmp_path / "models", run_id)
    close_run(sqlite, run_id)
    # The line, and that of its pages in a browser:
    monkeypatch.setitem(ANSWER_KINDS, "stub", resolve_name("toys.answer:KIND"))
    monkeypatch.setitem(PAGES, "stub", resolve_name("toys.answer:BoxPages"))
    told = outcome(sqlite, progress(sqlite, run_id))
    assert told["boxes"] == [row._asdict() for row in auc_table(sqlite, run_id)] != []
    assert told["auc"] == told["segments"] == []
    print_figures(sqlite, run_id)
    assert "14 kinds of box" in capsys.readouterr().out
    content = page_content(sqlite, tmp_path, run_id, RunPictures(sqlite, Settings(home=tmp_path), run_id))
    assert content["boxes"] == ["a drawn box"]
    assert content["template"] == "boxes.html.j2"
    assert Site(sqlite, tmp_path, run_id).get().text == f"boxes of run {run_id}"
    require_suited(sqlite, "compare", run_id)
    with pytest.raises(SystemExit):
        require_suited(sqlite, "worklist", run_id)
    assert f"run {run_id} is of boxes; they are in nightread report {run_id}" in capsys.readouterr().err
