"""The commands `nightread models`: bring one's own, and see what there is."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.markup import escape

from config.cards.classification import ClassificationCard, Preprocessing
from config.cards.model import Card, Classifier, Model, find_model, list_models
from config.errors import ConfigError
from config.settings import Settings, load_settings
from db.database import Database
from db.runs import ModelFacts, find_or_write_model
from jobs.commands.app import PANEL_MODELS, app, ready
from jobs.console import EXIT_SOME_FAILED, err, out, print_table
from workers.archive import archive_statistics
from workers.models.layouts import LAYOUTS, LayoutName, Resize
from workers.models.options import ImportOptions
from workers.training.statistics import Statistics

_SHORT_HASH: Final = 12

models_app = typer.Typer(help="The models: bring your own, and see what there is.", no_args_is_help=True)
app.add_typer(models_app, name="models", rich_help_panel=PANEL_MODELS)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@models_app.command()
def add(
    source: Annotated[Path, typer.Argument(help="A weights file, or a model folder with its card.yaml.")],
    name: Annotated[
        str | None, typer.Option(help="Lower case, digits, dots and dashes. Default: the file's.")
    ] = None,
    layout: Annotated[
        LayoutName | None, typer.Option(help="What a weights file belongs to; see docs/models.md.")
    ] = None,
    findings: Annotated[
        str | None,
        typer.Option(metavar="A,B,...", help="Of the outputs, in their order; an empty one is dropped."),
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option(help="CSV of the training images, of which mean and std are computed.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder that its image names are relative to.")] = None,
    thresholds: Annotated[
        str | None, typer.Option(metavar="P,P,...", help="One for all, or one a finding.  Default: 0.5")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Side of the input, pixels. Default: the layout's")] = None,
    resize: Annotated[
        Resize | None, typer.Option(help="As the model was trained. Default: the layout's")
    ] = None,
    center_crop: Annotated[
        bool | None, typer.Option(help="Whether only the middle square is used. Default: the layout's")
    ] = None,
    factor: Annotated[
        float | None, typer.Option(help="Multiplies grey values 0-255 first. Default: the layout's, or 1")
    ] = None,
    mean: Annotated[
        str | None, typer.Option(metavar="M,M,...", help="Taken off then; one, or one a channel.")
    ] = None,
    std: Annotated[
        str | None, typer.Option(metavar="S,S,...", help="Divides then; one, or one a channel.")
    ] = None,
    final_relu: Annotated[
        bool | None,
        typer.Option(help="Whether a ReLU follows the last batch norm. Default: the layout's, or yes"),
    ] = None,
    trust_pickle: Annotated[
        bool, typer.Option("--trust-pickle", help="Run the code that a pickled PyTorch module is.")
    ] = False,
    half: Annotated[
        bool, typer.Option("--half", help="Store the weights as float16, half the size.")
    ] = False,
    description: Annotated[str | None, typer.Option(help="For the card.")] = None,
    provenance: Annotated[str | None, typer.Option(help="For the card: who trained it on what.")] = None,
    licence: Annotated[str | None, typer.Option(help="For the card: what may be done with it.")] = None,
) -> None:
    """Add a model of your own: PyTorch's or Keras' weights of DenseNet-121, or a whole model folder.

    A model that does not fit its card or layout is refused in one line, and nothing of it is kept.

    Example: nightread models add pretrained_model.h5 --layout course --manifest train.csv --images images/

    Example: nightread models add nih.pt --layout torchxrayvision --name xrv-nih

    Example: nightread models add /backup/models/mine
    """
    options = {
        "--name": name,
        "--layout": layout,
        "--findings": findings,
        "--manifest": manifest,
        "--images": images,
        "--thresholds": thresholds,
        "--size": size,
        "--resize": resize,
        "--center-crop": center_crop,
        "--factor": factor,
        "--mean": mean,
        "--std": std,
        "--final-relu": final_relu,
        "--description": description,
        "--provenance": provenance,
        "--licence": licence,
    }
    settings, database = ready()
    from workers.models import add as adding  # noqa: PLC0415  # what it imports takes seconds to load

    with err.status(f"reading and checking {source}"):
        if source.is_dir():
            given = [option for option, value in options.items() if value is not None]
            if given or trust_pickle or half:
                raise ConfigError(
                    f"{(given or ['--half' if half else '--trust-pickle'])[0]} is for weights files; "
                    f"{source} is a folder, and its card.yaml says what the model is"
                )
            model = adding.add_folder(source, settings.models)
        else:
            if layout is None:
                raise ConfigError(
                    f"--layout is needed for a weights file: {', '.join(LAYOUTS)}; see docs/models.md"
                )
            told = ImportOptions(
                layout=layout,
                name=name,
                findings=None if findings is None else tuple(one.strip() for one in findings.split(",")),
                thresholds=_numbers("--thresholds", thresholds),
                size=size,
                resize=resize,
                center_crop=center_crop,
                factor=factor,
                mean=_numbers("--mean", mean),
                std=_numbers("--std", std),
                final_relu=final_relu,
                sample=_sample(manifest, images, settings.max_image_pixels),
                description=description,
                provenance=provenance,
                licence=licence,
            )
            model = adding.add_weights(
                source,
                settings.models,
                told,
                trust_pickle=trust_pickle,
                half=half,
            )
        register(database, model)
    _print_added(model)


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(one) for one in text.split(","))
    except ValueError:
        raise ConfigError(f"{option}: {text!r} is not a list of numbers with commas between") from None


def _sample(
    manifest: Path | None, images: Path | None, max_pixels: int
) -> Callable[[Preprocessing], Statistics] | None:
    """Give what computes mean and std of the training images, where they are named."""
    if manifest is None and images is None:
        return None
    if manifest is None or images is None:
        raise ConfigError("--manifest and --images belong together: mean and std are computed of both")
    if not images.is_dir():
        raise ConfigError(f"{images}: there is no such folder of images; see --images")
    return partial(archive_statistics, manifest, str(images), max_pixels=max_pixels)


def register(database: Database, model: Model[Card]) -> int:
    """Write a model to the database's table `model` before any run has used it; returns its id there.

    Its folder is removed where the database cannot take it, so that the model is in both or in neither.
    """
    try:
        with database.write() as connection:
            return find_or_write_model(connection, ModelFacts.of(model.card))
    except BaseException:
        shutil.rmtree(model.folder, ignore_errors=True)
        raise


def _print_added(model: Classifier) -> None:
    card = model.card
    out.print(
        f"model {card.name}: {len(card.findings)} findings, SHA-256 {card.sha256[:_SHORT_HASH]}: "
        f"{model.folder}",
        highlight=False,
        soft_wrap=True,
    )
    out.print(
        f"to use it: nightread score MANIFEST --images DIR --model {card.name}; to see that it scores as it "
        "did at home: docs/models.md",
        highlight=False,
        soft_wrap=True,
    )
    if not card.clinical_use:
        out.print("Not for clinical use.")


@models_app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the shipped models and your own.

    Exit code 3: a model's card is wrong; it is listed with what is wrong.

    Example: nightread models list
    """
    settings = load_settings()
    listed = [_entry(name, settings) for name in list_models(settings.models)]
    if as_json:
        typer.echo(json.dumps(listed, indent=2))
    else:
        print_table(
            ("name", "where", "findings", "trained", "sha256", "description"),
            (
                (one["name"], one["where"], "", "", "", escape(f"error: {one['error']}"))
                if "error" in one
                else (
                    one["name"],
                    one["where"],
                    len(one["findings"]),
                    "yes" if one["trained"] else "no",
                    one["sha256"][:_SHORT_HASH],
                    escape(one["description"]),
                )
                for one in listed
            ),
        )
    if any("error" in one for one in listed):
        raise typer.Exit(EXIT_SOME_FAILED)


def _entry(name: str, settings: Settings) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": name,
        "where": "yours" if (settings.models / name).exists() else "shipped",
    }
    try:
        card = find_model(name, settings.models).card
    except ConfigError as error:
        return entry | {"error": str(error)}
    return entry | {
        "findings": list(card.findings),
        "trained": card.trained,
        "clinical_use": card.clinical_use,
        "sha256": card.sha256,
        "description": card.description,
    }


@models_app.command()
def show(
    name: Annotated[str, typer.Argument(help="The model's name; see `nightread models list`.")],
    as_json: AsJson = False,
) -> None:
    """Show a model's card: what it finds, how its pixels are prepared, where it is from.

    Example: nightread models show demo
    """
    settings = load_settings()
    model = find_model(name, settings.models)
    card = model.card
    if as_json:
        typer.echo(json.dumps(card.model_dump(mode="json") | {"folder": str(model.folder)}, indent=2))
        return
    print_table(("field", "value"), _facts(model), title=f"model {name}")
    columns = _columns(card)
    print_table(
        ("finding", *columns),
        zip(map(escape, card.findings), *columns.values(), strict=True),
    )
    if not card.trained:
        out.print(f"[yellow]The model {name} is untrained: its scores mean nothing.[/]")
    if not card.clinical_use:
        out.print("Not for clinical use.")


def _facts(model: Model[Card]) -> list[tuple[str, str]]:
    """Give the fields that are about the model as a whole, in the card's order, nested ones by their path."""
    fields = model.card.model_dump(mode="json", exclude={"kind", "name", "findings", "golden", "figures"})
    rows = [("folder", escape(str(model.folder)))]
    for field, value in fields.items():
        if isinstance(value, dict):
            rows += [(f"{field}.{inner}", _plain(one)) for inner, one in value.items() if one is not None]
        elif value is not None and not field.endswith("thresholds"):
            rows.append((field, _plain(value)))
    return rows


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_plain(one) for one in value)
    return f"{value:.6g}" if isinstance(value, float) else escape(str(value))


def _columns(card: Card) -> dict[str, list[float | None]]:
    """Give what the card has for each finding: thresholds, golden scores, and figures by their names."""
    columns: dict[str, list[float | None]] = {"threshold": list(card.thresholds)}
    if not isinstance(card, ClassificationCard):
        return columns
    if card.sensitive_thresholds is not None:
        columns["sensitive threshold"] = list(card.sensitive_thresholds)
    columns["golden"] = list(card.golden)
    for what, figures in (card.figures or {}).items():
        columns[what] = [figures.get(finding) for finding in card.findings]
    return columns
