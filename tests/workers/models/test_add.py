"""Adding models: cards as the layouts' origins prepare their pixels, refusals that leave nothing behind."""

import csv
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy import inspect, text
from support import STUB_CARD, write_card
from typer.testing import CliRunner, Result

from config.cards.classification import ClassificationCard, Preprocessing
from config.cards.model import Classifier, Model, find_model, read_model, require_classifier
from config.errors import ConfigError
from config.findings import FINDINGS
from db.database import Database
from db.errors import DatabaseError
from jobs.phantoms.archive import plan_archive, write_archive
from workers.archive import archive_statistics
from workers.commands.main import app
from workers.commands.register import register
from workers.inference.engine import TensorFlowEngine
from workers.inference.statistics import Statistics
from workers.models import add
from workers.models.add import add_folder, add_weights
from workers.models.foreign_weights import ForeignWeights
from workers.models.options import ImportOptions

EIGHTEEN = (*FINDINGS, "Lung Lesion", "Fracture", "Lung Opacity", "Enlarged Cardiomediastinum")
LIMIT = 64_000_000
SIZE = 64

pytestmark = [
    pytest.mark.usefixtures("tensorflow"),
    # Keras' own code for saving, with TensorFlow's variables and NumPy 2; it is not what is tested here.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
]


def card_of(folder: Path) -> ClassificationCard:
    return require_classifier(read_model(folder)).card


# --- files that somebody brings ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fourteen() -> Any:
    """DenseNet-121 as the public projects build it: three channels, a sigmoid head of 14 outputs."""
    import keras

    from workers.inference.networks.network import seeded_weights

    trunk = keras.applications.DenseNet121(
        include_top=False, weights=None, input_shape=(SIZE, SIZE, 3), pooling="avg"
    )
    built = keras.Model(trunk.input, keras.layers.Dense(14, "sigmoid")(trunk.output))
    built.set_weights(seeded_weights(built, 7))
    return built


@pytest.fixture(scope="module")
def weights_file(fourteen: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fourteen findings and three channels, as Keras saves them."""
    path: Path = tmp_path_factory.mktemp("brought") / "pretrained_model.weights.h5"
    fourteen.save_weights(path)
    return path


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    write_archive(folder, plan_archive(4, seed=3))
    return folder


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


def bring(source: Path, models: Path, told: ImportOptions, **options: Any) -> Classifier:
    return add_weights(source, models, told, **options)


def small(layout: Any, **fields: Any) -> ImportOptions:
    """As the layout, in a size that is scored quickly."""
    return ImportOptions(layout=layout, name="mine", size=SIZE, **fields)


ALL_BY_OPTIONS = {"findings": FINDINGS, "resize": "bilinear", "mean": (120.0,), "std": (60.0,)}


def read_from_arrays(
    monkeypatch: pytest.MonkeyPatch, arrays: list[NDArray[np.float32]], **facts: Any
) -> None:
    """Let a file hold these arrays, for what only PyTorch's files say and this environment cannot write."""
    imported = ForeignWeights("densenet121", arrays, arrays[0].shape[2], len(arrays[-1]), **facts)
    monkeypatch.setattr(add, "_read", lambda *_arguments, **_options: imported)


# --- cards -------------------------------------------------------------------------------------------------


def test_course_card_has_its_findings_and_mean_and_std_of_the_training_images(
    weights_file: Path, phantoms: Path, models: Path
) -> None:
    sample = partial(
        archive_statistics, phantoms / "manifest.csv", str(phantoms / "images"), max_pixels=LIMIT
    )
    told = small("course", sample=sample)
    card = bring(weights_file, models, told).card
    assert card.findings[:4] == ("Cardiomegaly", "Emphysema", "Effusion", "Hernia")
    assert sorted(card.findings) == sorted(FINDINGS)
    assert (card.pixels.resize, card.pixels.channels, card.pixels.factor) == ("nearest", 3, 1.0)
    assert card.final_relu
    assert card.thresholds == (0.5,) * 14
    # As load_img(target_size=...) and NumPy give them.
    pictures = [
        np.asarray(Image.open(path).convert("L").resize((SIZE, SIZE), Image.Resampling.NEAREST))
        for path in sorted((phantoms / "images").glob("*.png"))
    ]
    assert len(pictures) == 4
    assert card.pixels.mean == pytest.approx((np.mean(pictures),) * 3, abs=1e-3)
    assert card.pixels.std == pytest.approx((np.std(pictures),) * 3, abs=1e-3)


def test_chexnet_keras_card_is_without_the_final_relu_and_with_imagenets_numbers(
    weights_file: Path, models: Path
) -> None:
    card = bring(weights_file, models, small("chexnet-keras")).card
    assert card.findings == FINDINGS
    assert not card.final_relu
    assert (card.pixels.resize, card.pixels.channels, card.pixels.center_crop) == ("linear", 3, False)
    assert card.pixels.factor * 255 == pytest.approx(1)
    assert card.pixels.mean == (0.485, 0.456, 0.406)
    assert card.pixels.std == (0.229, 0.224, 0.225)
    assert "pretrained_model.weights.h5" in card.provenance
    assert hashlib.sha256(weights_file.read_bytes()).hexdigest() in card.provenance


@pytest.fixture
def eighteen(fourteen: Any) -> list[NDArray[np.float32]]:
    """Arrays of 18 outputs and one channel, whose input is about a thousand times the others'."""
    first, *others, kernel, bias = fourteen.get_weights()
    return [first[:, :, :1] / 1000, *others, np.hstack([kernel, kernel[:, :4]]), np.zeros(18, bias.dtype)]


def test_torchxrayvision_card_drops_outputs_that_were_never_trained(
    monkeypatch: pytest.MonkeyPatch, eighteen: list[NDArray[np.float32]], models: Path, tmp_path: Path
) -> None:
    source = tmp_path / "nih.pt"
    source.write_bytes(b"weights")
    names = tuple(name if index < 14 else None for index, name in enumerate(EIGHTEEN))
    operating = tuple(0.01 * (index + 1) if index < 13 else None for index in range(18))
    read_from_arrays(monkeypatch, eighteen, findings=names, thresholds=operating)
    model = bring(source, models, small("torchxrayvision"))
    card = model.card
    assert card.findings == EIGHTEEN[:14]
    assert card.thresholds[:13] == operating[:13]
    assert card.thresholds[13] == 0.5
    assert (card.pixels.resize, card.pixels.channels, card.pixels.center_crop) == ("gaussian", 1, True)
    for grey in (0, 100, 255):
        prepared = (grey * card.pixels.factor - card.pixels.mean[0]) / card.pixels.std[0]
        assert prepared == pytest.approx((2 * grey / 255 - 1) * 1024)
    with np.load(model.folder / "weights.npz") as stored:
        assert np.array_equal(stored[sorted(stored.files)[-2]], eighteen[-2][:, :14])


def test_torchxrayvisions_thresholds_tell_which_outputs_of_a_state_dict_were_trained(
    monkeypatch: pytest.MonkeyPatch, eighteen: list[NDArray[np.float32]], models: Path, tmp_path: Path
) -> None:
    source = tmp_path / "rsna.pt"
    source.write_bytes(b"weights")
    trained = {8: 0.13, 16: 0.14}
    operating = tuple(trained.get(index) for index in range(18))
    read_from_arrays(monkeypatch, eighteen, thresholds=operating)
    card = bring(source, models, small("torchxrayvision")).card
    assert dict(zip(card.findings, card.thresholds, strict=True)) == {"Pneumonia": 0.13, "Lung Opacity": 0.14}
    # Without them all 18 would pass for trained.
    read_from_arrays(monkeypatch, eighteen)
    message = refusal(lambda: bring(source, models, replace(small("torchxrayvision"), name="all")), models)
    assert "needs --findings" in message
    assert "which of them were trained" in message


def test_option_goes_before_the_layout(weights_file: Path, models: Path) -> None:
    told = small(
        "chexnet-keras",
        resize="bilinear",
        final_relu=True,
        thresholds=(0.25,),
        factor=1.0,
        mean=(100.0,),
        std=(50.0,),
        licence="ours",
        description="trained on the ward",
        provenance="the ward",
    )
    card = bring(weights_file, models, told).card
    assert (card.pixels.size, card.pixels.resize, card.pixels.factor) == (SIZE, "bilinear", 1.0)
    assert (card.pixels.mean, card.pixels.std) == ((100.0,) * 3, (50.0,) * 3)
    assert card.final_relu
    assert card.thresholds == (0.25,) * 14
    assert (card.licence, card.description) == ("ours", "trained on the ward")
    assert card.provenance.startswith("the ward; made of")


def test_ten_crops_and_standardisation_are_the_cards(weights_file: Path, models: Path) -> None:
    told = small("torchvision", findings=FINDINGS, resize_first=SIZE + 8, ten_crops=True, standardize=True)
    told = replace(told, greyscale="equalized")
    model = bring(weights_file, models, told)
    pixels = model.card.pixels
    assert (pixels.resize_first, pixels.ten_crops, pixels.standardize) == (SIZE + 8, True, True)
    assert pixels.greyscale == "equalized"
    assert (pixels.mean, pixels.std) == ((0.0,) * 3, (1.0,) * 3)
    # A worker checks the golden scores of the ten.
    assert TensorFlowEngine(model, threads=1, maps=False).batch == 8
    single = model.card.model_copy(update={"pixels": pixels.model_copy(update={"ten_crops": False})})
    with pytest.raises(ConfigError, match="for the test pattern"):
        TensorFlowEngine(Model(model.folder, single), threads=1, maps=False)


def test_keras_layout_needs_no_mean_where_each_image_has_its_own(weights_file: Path, models: Path) -> None:
    told = small("keras", findings=FINDINGS, resize="tensor", standardize=True)
    assert bring(weights_file, models, told).card.pixels.standardize


@pytest.mark.parametrize("half", [False, True])
def test_golden_scores_are_those_of_the_brought_network(
    fourteen: Any, weights_file: Path, models: Path, half: bool
) -> None:
    from workers.inference.pixels import prepare, test_pattern

    told = small("keras", **ALL_BY_OPTIONS)
    model = bring(weights_file, models, told, half=half)
    expected = fourteen(prepare(test_pattern(SIZE), model.card.pixels)[None], training=False)
    assert model.card.golden == pytest.approx(np.asarray(expected)[0].tolist(), abs=5e-3 if half else 1e-5)
    assert np.ptp(model.card.golden) > 0.01
    size = (model.folder / "weights.npz").stat().st_size
    assert size == pytest.approx(14_200_000 if half else 28_200_000, rel=0.02)


def test_name_is_made_of_the_files_where_none_is_told() -> None:
    assert add.default_name(Path("x/Pretrained_Model.weights.h5")) == "pretrained_model"
    assert add.default_name(Path("best weights (2).h5")) == "best-weights-2-"
    assert add.default_name(Path("m-25012018.pth.tar")) == "m-25012018"
    assert add.default_name(Path("._.keras")) == "model"


# --- refusals of weights files -----------------------------------------------------------------------------


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) if folder.exists() else []


def refusal(attempt: Callable[[], object], models: Path) -> str:
    """Give the one line of a refusal, which must leave nothing behind."""
    before = listing(models)
    with pytest.raises(ConfigError) as caught:
        attempt()
    assert listing(models) == before
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_thirteen_findings_for_fourteen_outputs_are_refused_with_both_numbers(
    weights_file: Path, models: Path
) -> None:
    told = small("keras", **ALL_BY_OPTIONS | {"findings": FINDINGS[:13]})
    message = refusal(lambda: bring(weights_file, models, told), models)
    assert "14 outputs" in message
    assert "--findings names 13" in message


def never(_pixels: Preprocessing) -> Statistics:
    """Stands for training images that nobody may read before the options are found to fit each other."""
    raise AssertionError


REFUSED_OPTIONS: dict[str, tuple[ImportOptions, str]] = {
    "course without manifest": (ImportOptions("course"), "--layout course needs --manifest and --images"),
    "a mean beside each image's own": (
        ImportOptions("torchvision", mean=(1.0,), std=(1.0,), standardize=True),
        "--standardize takes each image's own mean and std; leave --mean and --std",
    ),
    "ten crops of no larger picture": (
        small("torchvision", findings=FINDINGS, ten_crops=True),
        "resize_first says how large",
    ),
    "mean without std": (ImportOptions("course", mean=(1.0,)), "--mean and --std belong together"),
    "both": (
        ImportOptions("course", mean=(1.0,), std=(1.0,), sample=never),
        "not both",
    ),
    "manifest that nothing is computed of": (
        ImportOptions("chexnet-keras", sample=never),
        "leave --manifest and --images away",
    ),
    "keras without anything": (
        ImportOptions("keras"),
        "needs --size and --resize, which the file does not say; and --manifest and --images of",
    ),
    "keras without size": (ImportOptions("keras", resize="bilinear"), "needs --size and --resize"),
    "torchvision without findings": (ImportOptions("torchvision"), "--layout torchvision needs --findings"),
    "std of 0": (small("course", mean=(1.0,), std=(0.0,)), "std.0: Input should be greater than 0"),
    "mean of two numbers": (small("course", mean=(1.0, 2.0), std=(1.0,)), "mean and std need 3 numbers"),
    "two thresholds": (small("chexnet-keras", thresholds=(0.5, 0.6)), "--thresholds has 2 numbers for 14"),
    "threshold over 1": (small("chexnet-keras", thresholds=(1.5,)), "thresholds.0: Input should be less"),
    "a finding twice": (
        small("chexnet-keras", findings=(*FINDINGS[:13], "Mass")),
        "findings names one twice",
    ),
    "name that is a path": (ImportOptions("chexnet-keras", name="../mine"), "name: String should match"),
    "name of a shipped model": (
        ImportOptions("chexnet-keras", name="untrained"),
        "'untrained' is the name of a model that comes with Nightread; choose another --name",
    ),
    "size of 7": (replace(small("chexnet-keras"), size=7), "size: Input should be greater"),
    "one channel's layout": (small("torchxrayvision", findings=FINDINGS), "3 channels, --layout torchx"),
}


@pytest.mark.parametrize("fault", REFUSED_OPTIONS)
def test_options_that_do_not_fit_are_refused_in_one_line(
    weights_file: Path, models: Path, fault: str
) -> None:
    told, says = REFUSED_OPTIONS[fault]
    models.mkdir()
    assert says in refusal(lambda: bring(weights_file, models, told), models)


def test_name_that_is_taken_is_refused_before_the_file_is_read(models: Path, tmp_path: Path) -> None:
    write_card(models, STUB_CARD)
    message = refusal(
        lambda: bring(tmp_path / "gone.h5", models, ImportOptions("keras", name="stub")), models
    )
    assert "there is a model 'stub' already" in message
    assert "choose another --name" in message


def test_findings_other_than_the_files_own_are_refused(
    monkeypatch: pytest.MonkeyPatch, fourteen: Any, weights_file: Path, models: Path
) -> None:
    swapped = (FINDINGS[1], FINDINGS[0], *FINDINGS[2:])
    read_from_arrays(monkeypatch, fourteen.get_weights(), findings=FINDINGS)
    models.mkdir()
    message = refusal(lambda: bring(weights_file, models, small("torchvision", findings=swapped)), models)
    assert "names its outputs Atelectasis,Cardiomegaly," in message
    assert "--findings says Cardiomegaly,Atelectasis," in message


def test_half_of_a_number_beyond_float16_is_refused(
    monkeypatch: pytest.MonkeyPatch, fourteen: Any, weights_file: Path, models: Path
) -> None:
    arrays = fourteen.get_weights()
    arrays[4] = np.full_like(arrays[4], 7e4)  # a moving variance
    read_from_arrays(monkeypatch, arrays)
    told = small("chexnet-keras")
    message = refusal(lambda: bring(weights_file, models, told, half=True), models)
    assert "--half: float16 ends at 65504, the weights reach 70000" in message


BAD_FILES = ("missing", "truncated", "text", "another architecture")


@pytest.mark.parametrize("kind", BAD_FILES)
def test_file_that_is_no_densenet_is_refused_by_its_name(
    weights_file: Path, models: Path, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "brought.weights.h5"
    if kind == "truncated":
        path.write_bytes(weights_file.read_bytes()[:-100_000])
    elif kind == "text":
        path.write_text("no weights", encoding="utf-8")
    elif kind == "another architecture":
        import keras

        layers = keras.layers
        network = [layers.Conv2D(8, 3), layers.GlobalAveragePooling2D(), layers.Dense(14, "sigmoid")]
        keras.Sequential([keras.Input((SIZE, SIZE, 3)), *network]).save_weights(path)
    assert str(path) in refusal(lambda: bring(path, models, small("chexnet-keras")), models)


# --- PyTorch's files, where PyTorch is installed -----------------------------------------------------------


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    """A whole module, as torchxrayvision publishes its models."""
    torch = pytest.importorskip("torch")
    torchvision = pytest.importorskip("torchvision")
    torch.manual_seed(1)
    network = torchvision.models.densenet121(weights=None, num_classes=14)
    torch.save(network, tmp_path / "whole.pt")
    torch.save(network.state_dict(), tmp_path / "state.pt")
    return tmp_path / "whole.pt"


def test_pickle_is_refused_unless_it_is_trusted(pickled: Path, models: Path) -> None:
    told = small("torchvision", findings=FINDINGS)
    models.mkdir()
    assert "--trust-pickle" in refusal(lambda: bring(pickled, models, told), models)
    trusted = bring(pickled, models, told, trust_pickle=True).card
    from_arrays = bring(pickled.with_name("state.pt"), models, replace(told, name="other")).card
    assert trusted.golden == from_arrays.golden


# --- model folders -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(weights_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder as somebody hands it on, with more than card and weights."""
    told = replace(small("keras", **ALL_BY_OPTIONS), name="handed-on")
    made = bring(weights_file, tmp_path_factory.mktemp("elsewhere"), told).folder
    (made / "evaluation").mkdir()
    (made / "evaluation" / "notes.txt").write_text("read by two", encoding="utf-8")
    return made


@pytest.fixture
def altered(folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """Copy the folder with other fields in its card."""

    def alter(**fields: Any) -> Path:
        copied = tmp_path / "altered"
        shutil.copytree(folder, copied)
        content = yaml.safe_load((copied / "card.yaml").read_text(encoding="utf-8")) | fields
        (copied / "card.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        return copied

    return alter


def test_folder_is_copied_whole(folder: Path, models: Path) -> None:
    model = add_folder(folder, models)
    assert model.folder == models / "handed-on"
    assert model.card == card_of(folder)
    assert listing(model.folder) == listing(folder)
    assert (model.folder / "weights.npz").read_bytes() == (folder / "weights.npz").read_bytes()
    assert listing(models)[0] == "handed-on", "no half-made folder stays"
    assert "there is a model 'handed-on' already" in refusal(lambda: add_folder(folder, models), models)


def swapped(values: Any) -> list[Any]:
    return [values[1], values[0], *values[2:]]


def test_folder_whose_golden_scores_are_exchanged_is_refused(
    folder: Path, altered: Callable[..., Path], models: Path
) -> None:
    card = card_of(folder)
    assert card.golden is not None
    source = altered(golden=swapped(card.golden))
    message = refusal(lambda: add_folder(source, models), models)
    assert f"for the test pattern Atelectasis is {card.golden[0]:.4f}"[:-1] in message
    assert f"its card says {card.golden[1]:.6f}" in message


def test_folder_whose_card_exchanges_two_names_is_refused_by_the_outputs_names(
    folder: Path, altered: Callable[..., Path], models: Path
) -> None:
    source = altered(findings=swapped(card_of(folder).findings))
    message = refusal(lambda: add_folder(source, models), models)
    assert "output 1 of weights.npz is Atelectasis, the card's finding 1 is Cardiomegaly" in message


def test_hash_that_is_off_by_one_is_refused_with_both(
    folder: Path, altered: Callable[..., Path], models: Path
) -> None:
    right = card_of(folder).sha256
    wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
    message = refusal(lambda: add_folder(altered(sha256=wrong), models), models)
    assert right in message
    assert wrong in message


def test_card_of_thirteen_findings_for_weights_of_fourteen_is_refused_with_both_shapes(
    folder: Path, altered: Callable[..., Path], models: Path
) -> None:
    card = card_of(folder).model_dump(mode="json")
    fields = {name: card[name][:13] for name in ("findings", "thresholds", "golden", "golden_film")}
    message = refusal(lambda: add_folder(altered(**fields), models), models)
    assert "(1024, 14)" in message
    assert "(1024, 13)" in message


def test_card_whose_golden_has_thirteen_numbers_is_refused(
    folder: Path, altered: Callable[..., Path], models: Path
) -> None:
    golden = list(card_of(folder).golden or ())[:13]
    message = refusal(lambda: add_folder(altered(golden=golden), models), models)
    assert "golden has 13 numbers for 14 findings" in message


def test_truncated_weights_are_refused_though_their_hash_is_right(
    folder: Path, altered: Callable[..., Path], models: Path
) -> None:
    content = (folder / "weights.npz").read_bytes()[:-1000]
    source = altered(sha256=hashlib.sha256(content).hexdigest())
    (source / "weights.npz").write_bytes(content)
    message = refusal(lambda: add_folder(source, models), models)
    assert "weights.npz is not a whole .npz" in message


def test_weights_of_another_network_are_refused_by_the_first_array_that_differs(
    fourteen: Any, altered: Callable[..., Path], models: Path, tmp_path: Path
) -> None:
    arrays = fourteen.get_weights()
    arrays[0] = arrays[0][:3, :3]
    np.savez(tmp_path / "weights.npz", **{f"w{index:04d}": array for index, array in enumerate(arrays)})
    content = (tmp_path / "weights.npz").read_bytes()
    source = altered(sha256=hashlib.sha256(content).hexdigest())
    (source / "weights.npz").write_bytes(content)
    message = refusal(lambda: add_folder(source, models), models)
    assert "its array 0 is (3, 3, 3, 64)" in message
    assert "(7, 7, 3, 64)" in message


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"kind": "resnet"}, "kind: "),
        ({"weights": "../weights.npz"}, "must be in the model's folder"),
        ({"weights": "gone.npz"}, "No such file"),
        ({"name": "untrained"}, "comes with Nightread"),
        ({"name": "Mine"}, "name: String should match"),
        ({"colour": "blue"}, "colour: Extra inputs"),
        ({"golden": None}, "golden is missing"),
    ],
)
def test_folder_with_an_unusable_card_is_refused_in_one_line(
    altered: Callable[..., Path], models: Path, fields: dict[str, Any], says: str
) -> None:
    assert says in refusal(lambda: add_folder(altered(**fields), models), models)


def test_card_with_a_std_of_0_is_refused(folder: Path, altered: Callable[..., Path], models: Path) -> None:
    pixels = card_of(folder).pixels.model_dump(mode="json") | {"std": [1.0, 0.0, 1.0]}
    message = refusal(lambda: add_folder(altered(pixels=pixels), models), models)
    assert "pixels.std.1: Input should be greater than 0" in message


def test_folder_without_a_card_is_refused(tmp_path: Path, models: Path) -> None:
    assert "card.yaml: No such file" in refusal(lambda: add_folder(tmp_path, models), models)


# --- the database ------------------------------------------------------------------------------------------


def test_model_is_in_the_database_before_any_run(database: Database, untrained: Classifier) -> None:
    first = register(database, untrained)
    assert register(database, untrained) == first, "the same card is the same model"
    with database.read() as connection:
        (row,) = connection.execute(text("SELECT id, name, sha256, card FROM model")).all()
        findings = connection.execute(text("SELECT COUNT(*) FROM model_finding")).scalar_one()
    assert (row.id, row.name, row.sha256) == (first, "untrained", untrained.card.sha256)
    assert json.loads(row.card)["findings"] == list(FINDINGS)
    assert findings == 14


def test_model_that_the_database_does_not_take_is_removed_again(tmp_path: Path, models: Path) -> None:
    write_card(models, STUB_CARD)
    tables_missing = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(DatabaseError, match="nightread db upgrade"):
        register(tables_missing, find_model("stub", models))
    tables_missing.dispose()
    assert listing(models) == []


# --- the commands ------------------------------------------------------------------------------------------


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., Result]]:
    """The command in this process; a ConfigError is what its user sees as one line and exit code 2."""
    monkeypatch.setenv("NIGHTREAD_HOME", str(tmp_path))
    runner = CliRunner()
    yield lambda *arguments: runner.invoke(app, ["models", *map(str, arguments)])
    if (tmp_path / "nightread.db").exists():
        opened = Database(f"sqlite:///{tmp_path / 'nightread.db'}")
        assert inspect(opened.engine).has_table("model")
        opened.dispose()


def test_list_shows_whose_models_they_are_and_marks_a_broken_card(
    command: Callable[..., Result], models: Path, folder: Path
) -> None:
    shutil.copytree(folder, models / "handed-on")
    done = command("list")
    assert done.exit_code == 0
    assert re.search(
        r"handed-on\W+yours\W+densenet121\W+14\W+yes\W+not compared\W+" + card_of(folder).sha256[:12],
        done.stdout,
    )
    assert re.search(r"untrained\W+shipped\W+densenet121\W+14\W+no\W", done.stdout)

    (models / "broken").mkdir()
    (models / "broken" / "card.yaml").write_text("name: broken\n", encoding="utf-8")
    done = command("list")
    assert done.exit_code == 3
    assert re.search(r"broken\W+yours\W+error", done.stdout)
    assert "handed-on" in done.stdout

    listed = {model["name"]: model for model in json.loads(command("list", "--json").stdout)}
    assert listed.keys() == {"broken", "demo", "demo-volumes", "handed-on", "untrained"}
    assert "card.yaml: description: Field required" in listed["broken"]["error"]
    assert listed["handed-on"]["sha256"] == card_of(folder).sha256
    assert listed["untrained"]["findings"] == list(FINDINGS)


def test_show_gives_the_card_with_a_row_for_each_finding(
    command: Callable[..., Result], models: Path, folder: Path
) -> None:
    shutil.copytree(folder, models / "handed-on")
    path = models / "handed-on" / "card.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["figures"] = {"validation AUROC": {"Mass": 0.8125}}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    done = command("show", "handed-on")
    card = card_of(folder)
    assert done.exit_code == 0
    assert card.sha256 in done.stdout
    assert re.search(r"pixels\.resize\W+bilinear", done.stdout)
    assert "validation AUROC" in done.stdout
    assert re.search(r"Mass\W+0\.5\W+[\d.]+\W+[\d.]+\W+0\.8125", done.stdout)
    shown = json.loads(command("show", "handed-on", "--json").stdout)
    assert shown["golden"] == list(card.golden or ())
    assert shown["folder"] == str(models / "handed-on")
    assert isinstance(command("show", "gone").exception, ConfigError)


def test_add_asks_for_the_layout_of_a_file_and_takes_no_options_for_a_folder(
    command: Callable[..., Result], weights_file: Path, folder: Path, models: Path
) -> None:
    for arguments, says in (
        ((weights_file,), "--layout is needed for a weights file: course, chexnet-keras"),
        ((folder, "--name", "other"), "--name is for weights files"),
        ((folder, "--no-final-relu"), "--final-relu is for weights files"),
        ((folder, "--half"), "--half is for weights files"),
        ((weights_file, "--layout", "keras", "--mean", "a,b"), "--mean: 'a,b' is not a list of numbers"),
        ((weights_file, "--layout", "keras", "--expect", "home.csv"), "--images is the folder"),
        ((weights_file, "--layout", "keras", "--images", folder), "give it with one of them"),
    ):
        done = command("add", *arguments)
        assert isinstance(done.exception, ConfigError), done.output
        assert says in str(done.exception)
        assert listing(models) == []


def test_findings_names_may_hold_blanks_and_one_left_out_is_dropped(
    command: Callable[..., Result], weights_file: Path, models: Path, tmp_path: Path
) -> None:
    findings = ", ".join(["Lung Opacity", "", *FINDINGS[2:]])
    done = command(
        "add", weights_file, "--layout", "keras", "--name", "named", "--findings", findings, "--size", "64",
        "--resize", "bilinear", "--mean", "120", "--std", "60,61,62",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    card = require_classifier(find_model("named", models)).card
    assert card.findings == ("Lung Opacity", *FINDINGS[2:])
    assert card.pixels.std == (60.0, 61.0, 62.0)
    opened = Database(f"sqlite:///{tmp_path / 'nightread.db'}")
    with opened.read() as connection:
        assert connection.execute(text("SELECT name, sha256 FROM model")).all() == [("named", card.sha256)]
    opened.dispose()


def test_bad_manifest_is_named_and_leaves_nothing(
    command: Callable[..., Result], weights_file: Path, phantoms: Path, models: Path, tmp_path: Path
) -> None:
    manifest = tmp_path / "bad.csv"
    with manifest.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["Image", "Mass"], ["a.png", "2"]])
    done = command(
        "add", weights_file, "--layout", "course", "--manifest", manifest, "--images", phantoms / "images"
    )
    assert "bad.csv, line 2" in str(done.exception)
    assert listing(models) == []
