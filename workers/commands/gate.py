"""The command `nightread models fit-gate`: what a model knows, so that a run can tell what it does not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer
from rich.progress import track

from config.cards.classification import GatePolicy
from config.cards.model import SHIPPED, find_model, networks_of, require_classifier
from config.errors import ConfigError
from config.failures import ImageUnusableError
from config.machine import engine_of
from jobs.commands.session import ready
from jobs.console import err, say, warn
from jobs.sources.source import open_source
from jobs.tables.manifest import Manifest
from workers.archive import picture_reader
from workers.inference.formats.picture import Picture
from workers.inference.plausible import extent_of, require_plausible

ENOUGH: Final = 5_000
"""Images; the limits of more would be the same."""


def fit_gate(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The model's name; see `nightread models list`.")
    ],
    manifest: Annotated[
        Path, typer.Option(metavar="CSV", help="Table of images that the model knows, as it was trained on.")
    ],
    images: Annotated[
        str, typer.Option(metavar="DIR", help="Folder that the table's names are relative to.")
    ],
    policy: Annotated[
        GatePolicy,
        typer.Option(
            help="What happens to an image that does not pass: it is scored and flagged, or it fails."
        ),
    ] = "flag",
    at_most: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Images to fit on, drawn by a fixed seed if there are more."),
    ] = ENOUGH,
) -> None:
    """Fit a model's gate on images that it knows; from then on its runs say which images are unlike them.

    The view quality names laterals and other pictures, and films that are inverted, mirrored, turned or cut.
    Of images like the fitted ones, fewer than 2 in 100 are flagged. See docs/models.md.

    Example: nightread models fit-gate mine --manifest train.csv --images images/
    """
    settings, _ = ready()
    model = require_classifier(find_model(name, settings.models))
    if model.folder.parent == SHIPPED:
        raise ConfigError(
            f"model {name} comes with Nightread, and its folder is not changed; fit one of your own"
        )
    source = open_source(images)
    source.require()
    names = [row.image_index for row in Manifest(manifest, root=source.root)]
    if len(names) > at_most:
        names = np.random.default_rng(0).choice(names, at_most, replace=False).tolist()
    read = picture_reader(source, settings.max_image_pixels, model.card.pixels.greyscale)
    unusable: list[str] = []

    def pictures() -> Iterator[Picture]:
        for image in track(names, "looking at images", console=err, disable=not err.is_terminal):
            try:
                picture = read(image)
                require_plausible(extent_of(picture), model.card.pixels)
            except ImageUnusableError as error:
                unusable.append(f"{image}: {error.reason}")
            else:
                yield picture

    # scikit-learn, which the other commands about models do without.
    from workers.inference.engine import make_engine
    from workers.models.gate import fit, install, see

    with err.status(f"loading model {name}"):
        # An ensemble's gate looks at its first member's features.
        engine = make_engine(
            engine_of(settings),
            networks_of(model)[0],
            threads=settings.threads or 1,
            maps=False,
            graphs=settings.graphs,
        )
    sights, features = see(pictures(), engine, model)
    if unusable:
        warn(f"images that cannot be used: {len(unusable):,}, the first: {unusable[0]}")
    with err.status("fitting"):
        fitted = fit(sights, features)
    card = install(model, fitted, len(sights), policy).card
    found = card.gate.sha256[:12] if card.gate else ""
    say(f"model {name}: its gate is fitted on {len(sights):,} images, SHA-256 {found}, policy {policy}")
    say('its runs say what does not pass: nightread sql "SELECT * FROM quality WHERE flag IS NOT NULL"')
