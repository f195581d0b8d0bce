"""The command `nightread heatmap`: a stored map, drawn over its radiograph."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from config.cards.classification import ClassificationCard
from config.cards.model import make_card
from config.failures import ImageUnusableError
from db import queries
from jobs.commands.options import RunArgument
from jobs.commands.session import existing, require_suited
from jobs.console import EXIT_INCOMPLETE, EXIT_USAGE, fail, note, say
from jobs.sources.source import open_source
from jobs.tables.spellings import Vocabulary
from workers.inference.formats.decode import read_picture
from workers.inference.region import visible_region
from workers.outputs import overlays

app = typer.Typer()


@app.command()
def heatmap(
    run: RunArgument,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="The image as the manifest names it.")],
    finding: Annotated[str, typer.Option(metavar="FINDING", help="The finding whose map to draw.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Picture to write: .png or .jpg.")
    ],
) -> None:
    """Draw a finding's Grad-CAM over its radiograph, at full size, from the stored map.

    Example: nightread heatmap 7 00000100_000.png --finding Effusion -o effusion.png
    """
    if output.suffix.lower() not in {".png", ".jpg", ".jpeg"}:
        fail(f"{output}: the picture's name must end in .png or .jpg", EXIT_USAGE)
    settings, database = existing()
    require_suited(database, "heatmap", run)
    stored = queries.stored_maps(database, run, image)
    if isinstance(stored, str):
        fail(stored, EXIT_USAGE)
    meant = Vocabulary(stored.findings).finding(finding)
    if meant not in stored.findings:
        fail(f"run {run} has no finding {finding!r}; it has: {', '.join(stored.findings)}", EXIT_USAGE)
    maps = np.frombuffer(stored.maps, dtype="<f2").reshape(stored.map_height, stored.map_width, -1)
    map_ = maps[:, :, stored.findings.index(meant)]
    card = make_card(queries.model_card(database, run))
    if not isinstance(card, ClassificationCard):
        fail(f"model {card.name} has no network, and its maps no picture to lie on", EXIT_USAGE)
    pixels = card.pixels
    try:
        source, limit = open_source(stored.root), settings.max_image_pixels
        picture = read_picture(source, image, limit, stored.bits, pixels.greyscale)
        region = visible_region(pixels, picture.width, picture.height)
        overlays.write_overlay(output, overlays.render(picture, map_, region=region))
    except ImageUnusableError as error:
        fail(f"{image}: {error.message}", EXIT_INCOMPLETE)
    except OSError as error:
        fail(f"{output} cannot be written: {error.strerror or error}", EXIT_INCOMPLETE)
    if not map_.any():
        note("the map has no positive value: nothing in the picture speaks for this finding")
    say(f"wrote {output}")
