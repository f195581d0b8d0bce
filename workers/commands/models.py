"""The commands `nightread models`: add your own, and see what there is."""

from pathlib import Path
from typing import Annotated, Final, get_args

import typer

from config.cards.card import Views
from config.cards.classification import ClassificationCard
from config.cards.model import Classifier, Segmenter, find_model, list_models
from config.errors import ConfigError
from config.films import Recipe
from config.settings import load_settings
from jobs.commands.session import ready
from jobs.console import EXIT_SOME_FAILED, err, print_json, print_table, say, shown, warn
from workers.commands.ensemble import ensemble
from workers.commands.gate import fit_gate
from workers.commands.model_list import COLUMNS, SHORT_HASH, entry_of, row_of
from workers.commands.model_options import check_images, expected_scores, numbers, sides, training_sample
from workers.commands.register import register
from workers.models.add import add_folder, add_unet, add_weights
from workers.models.description import columns_of, facts_of
from workers.models.kinds import weights_in
from workers.models.layouts import AnyLayoutName, Resize
from workers.models.options import ImportOptions

app = typer.Typer(help="Add models of your own, and see which there are.", no_args_is_help=True)

app.command("ensemble")(ensemble)
app.command("fit-gate")(fit_gate)

_OF_UNET: Final = {
    *("--name", "--layout", "--findings", "--label-values"),
    *("--description", "--provenance", "--licence"),
}
"""The options that there are for a network of volumes."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def add(
    source: Annotated[
        Path, typer.Argument(metavar="FILE|DIR", help="A weights file, or a model folder with its card.yaml.")
    ],
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Its name: lower case, digits, dots and dashes. Default: the file's."
        ),
    ] = None,
    layout: Annotated[
        AnyLayoutName | None, typer.Option(help="What a weights file was made for; see docs/models.md.")
    ] = None,
    findings: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Names of the outputs, in their order; an output with an empty name is dropped.",
        ),
    ] = None,
    label_values: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,...",
            help="Of volumes: the outputs' values in files of labels, if not 1, 2, ...: of BraTS before 2023 "
            "2,1,4.",
        ),
    ] = None,
    manifest: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="CSV of the training images, from which mean and std are computed."),
    ] = None,
    images: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Folder that the names in both tables are relative to."),
    ] = None,
    expect: Annotated[
        Path | None,
        typer.Option(
            metavar="CSV",
            help="CSV of scores computed where the model comes from, one column per finding, to compare "
            "with.",
        ),
    ] = None,
    thresholds: Annotated[
        str | None,
        typer.Option(metavar="P,P,...", help="One for all findings, or one per finding. Default: 0.5."),
    ] = None,
    size: Annotated[
        int | None, typer.Option(metavar="PIXELS", help="Side of the input, pixels. Default: the layout's.")
    ] = None,
    resize: Annotated[
        Resize | None, typer.Option(help="As the model was trained. Default: the layout's.")
    ] = None,
    center_crop: Annotated[
        bool | None,
        typer.Option(
            help="Whether only the largest middle square is used; a square image is used whole. Default: "
            "the layout's."
        ),
    ] = None,
    resize_first: Annotated[
        str | None,
        typer.Option(
            metavar="S|H,W",
            help="Resize to this, then cut out the middle of --size: 256 for Resize(256), CenterCrop(224).",
        ),
    ] = None,
    ten_crops: Annotated[
        bool,
        typer.Option(
            "--ten-crops",
            help="With --resize-first: the mean score of the middle and the corners, also mirrored.",
        ),
    ] = False,
    standardize: Annotated[
        bool,
        typer.Option(
            "--standardize",
            help="Standardize each image by its own mean and std, in place of --mean and --std.",
        ),
    ] = False,
    factor: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            help="Multiplies the grey values 0-255 first. Default: the layout's, or 1.",
        ),
    ] = None,
    mean: Annotated[
        str | None, typer.Option(metavar="M,M,...", help="Subtracted next; one, or one per channel.")
    ] = None,
    std: Annotated[
        str | None, typer.Option(metavar="S,S,...", help="Divided by last; one, or one per channel.")
    ] = None,
    final_relu: Annotated[
        bool | None,
        typer.Option(help="Whether a ReLU follows the last batch norm. Default: the layout's, or yes."),
    ] = None,
    greyscale: Annotated[
        Recipe | None,
        typer.Option(help="How DICOM files were turned into greys; see docs/dicom.md. Default: window."),
    ] = None,
    weights_key: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Which network to take, where a PyTorch file holds several; without it, their keys are "
            "listed.",
        ),
    ] = None,
    trust_pickle: Annotated[
        bool,
        typer.Option(
            "--trust-pickle",
            help="Run the code of a pickled module, a TorchScript or torch.export program, or a SavedModel.",
        ),
    ] = False,
    half: Annotated[
        bool, typer.Option("--half", help="Store the weights as float16, at half the size.")
    ] = False,
    views: Annotated[
        Views | None,
        typer.Option(
            help="For the card: the views it was trained on. Its runs leave out images of other views."
        ),
    ] = None,
    description: Annotated[str | None, typer.Option(metavar="TEXT", help="For the card.")] = None,
    provenance: Annotated[
        str | None, typer.Option(metavar="TEXT", help="For the card: who trained it, and on what.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option(metavar="TEXT", help="For the card: what may be done with it.")
    ] = None,
) -> None:
    """Add a model of your own: PyTorch's or Keras' weights of a DenseNet, or a whole model folder.

    A model that does not fit its card or layout is refused in one line, and nothing of it is kept.

    Example: nightread models add pretrained_model.h5 --layout course --manifest train.csv --images images/

    Example: nightread models add nih.pt --layout torchxrayvision --name xrv-nih

    Example: nightread models add last.ckpt --layout torchvision --findings Edema,Mass --weights-key model_ema

    Example: nightread models add nih.pt --layout torchxrayvision --expect five.csv --images images/

    Example: nightread models add model_pretrained.hdf5 --layout course-unet --name tumours

    Example: nightread models add /backup/models/mine
    """
    given = {
        "--name": name,
        "--layout": layout,
        "--findings": findings,
        "--manifest": manifest,
        "--images": images,
        "--expect": expect,
        "--thresholds": thresholds,
        "--size": size,
        "--resize": resize,
        "--center-crop": center_crop,
        "--resize-first": resize_first,
        "--ten-crops": ten_crops or None,
        "--standardize": standardize or None,
        "--factor": factor,
        "--mean": mean,
        "--std": std,
        "--final-relu": final_relu,
        "--greyscale": greyscale,
        "--weights-key": weights_key,
        "--views": views,
        "--description": description,
        "--provenance": provenance,
        "--licence": licence,
    }
    settings, database = ready()
    with err.status(shown(f"reading and checking {source}")):
        source = weights_in(source) or source
        if source.is_dir():
            for_weights = [option for option, value in given.items() if value is not None]
            if for_weights or trust_pickle or half:
                raise ConfigError(
                    f"{(for_weights or ['--half' if half else '--trust-pickle'])[0]} is for weights files; "
                    f"{source} is a folder, and its card.yaml says what the model is"
                )
            model = add_folder(source, settings.models)
        elif layout is None:
            raise ConfigError(
                f"--layout is needed for a weights file: {', '.join(get_args(AnyLayoutName))}; see "
                "docs/models.md"
            )
        elif layout == "course-unet":
            foreign = [option for option, value in given.items() if value is not None]
            foreign = [option for option in foreign if option not in _OF_UNET]
            if foreign or trust_pickle:
                raise ConfigError(
                    f"{(foreign or ['--trust-pickle'])[0]} is for networks of radiographs; --layout "
                    "course-unet is one of volumes"
                )
            model = add_unet(
                source,
                settings.models,
                name=name,
                classes=None if findings is None else _listed(findings),
                label_values=None if label_values is None else _listed(label_values),
                half=half,
                description=description,
                provenance=provenance,
                licence=licence,
            )
        elif label_values is not None:
            raise ConfigError("--label-values is for networks of volumes; see --layout course-unet")
        else:
            check_images(images, wanted=manifest is not None or expect is not None)
            options = ImportOptions(
                layout=layout,
                name=name,
                findings=None if findings is None else _listed(findings),
                thresholds=numbers("--thresholds", thresholds),
                size=size,
                resize=resize,
                center_crop=center_crop,
                resize_first=sides(resize_first),
                ten_crops=ten_crops or None,
                standardize=standardize or None,
                factor=factor,
                mean=numbers("--mean", mean),
                std=numbers("--std", std),
                final_relu=final_relu,
                greyscale=greyscale,
                weights_key=weights_key,
                sample=training_sample(manifest, images, settings.max_image_pixels),
                views=views,
                expect=expected_scores(expect, images, settings.max_image_pixels),
                description=description,
                provenance=provenance,
                licence=licence,
            )
            model = add_weights(
                source,
                settings.models,
                options,
                trust_pickle=trust_pickle,
                half=half,
                warn=warn,
            )
        register(database, model)
    if center_crop:
        warn(
            "--center-crop changes nothing for square pictures; a model that was trained on Resize(256) and "
            "CenterCrop(224) needs --resize-first 256 in its place"
        )
    _print_added(model)


def _listed(words: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in words.split(","))


def _print_added(model: Classifier | Segmenter) -> None:
    card = model.card
    findings, short = len(card.findings), card.sha256[:SHORT_HASH]
    what = f"{findings} findings" if isinstance(card, ClassificationCard) else f"{len(card.classes)} classes"
    say(f"model {card.name}: {what}, SHA-256 {short}: {model.folder}")
    if isinstance(card, ClassificationCard):
        _print_compared(card)
    say(f"to use it: nightread score MANIFEST --images DIR --model {card.name}")
    if isinstance(card, ClassificationCard) and card.home is None:
        say("to see that it scores as it did at home: add it with --expect; see docs/models.md")
    if not card.clinical_use:
        say("Not for clinical use.")


def _print_compared(card: ClassificationCard) -> None:
    if card.compared is not None:
        say(f"compared with the original: at most {card.compared:g} apart in probability, for three pictures")
    if card.home is not None:
        say(
            f"compared with {card.home.file}: at most {card.home.difference:g} apart in probability, for "
            f"{card.home.images} images and {card.home.findings} of {len(card.findings)} findings"
        )
    if card.unused:
        warn(f"left, as not the network's: {', '.join(card.unused)}")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the shipped models and your own.

    Exit code 3: a model's card is wrong; it is listed with what is wrong.

    Example: nightread models list
    """
    settings = load_settings()
    listed = [entry_of(name, settings) for name in list_models(settings.models)]
    if as_json:
        print_json(listed)
    else:
        print_table(COLUMNS, map(row_of, listed))
    if any("error" in entry for entry in listed):
        raise typer.Exit(EXIT_SOME_FAILED)


@app.command()
def show(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The model's name; see `nightread models list`.")
    ],
    as_json: AsJson = False,
) -> None:
    """Show a model's card: what it finds, how its pixels are prepared, where it comes from.

    Example: nightread models show demo
    """
    settings = load_settings()
    model = find_model(name, settings.models)
    card = model.card
    if as_json:
        print_json(card.model_dump(mode="json") | {"folder": str(model.folder)})
        return
    print_table(("field", "value"), facts_of(model), title=f"model {name}")
    columns = columns_of(card)
    print_table(("finding", *columns), zip(card.findings, *columns.values(), strict=True))
    if not card.trained:
        say(f"The model {name} is untrained: its scores mean nothing.", style="yellow")
    if not card.clinical_use:
        say("Not for clinical use.")
