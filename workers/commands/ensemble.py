"""The command `nightread models ensemble`: several models that answer as one."""

from typing import Annotated

import typer

from config.machine import engine_of
from jobs.commands.session import ready
from jobs.console import err, say
from workers.commands.model_list import SHORT_HASH
from workers.commands.model_options import numbers
from workers.commands.register import register
from workers.inference.ensemble import Ensemble
from workers.models.ensemble import EnsembleOptions, make_ensemble


def ensemble(
    members: Annotated[
        list[str],
        typer.Argument(metavar="MODEL", help="Two models or more; see `nightread models list`."),
    ],
    name: Annotated[str, typer.Option(metavar="NAME", help="Its name: lower case, digits, dots and dashes.")],
    thresholds: Annotated[
        str | None,
        typer.Option(
            metavar="P,P,...",
            help="One for all findings, or one per finding. Default: the mean of the members'.",
        ),
    ] = None,
    description: Annotated[str | None, typer.Option(metavar="TEXT", help="For the card.")] = None,
    provenance: Annotated[
        str | None, typer.Option(metavar="TEXT", help="For the card. Default: the members'.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option(metavar="TEXT", help="For the card. Default: the members'.")
    ] = None,
) -> None:
    """Join models of the same findings to one that answers with the mean of their probabilities.

    Each image is read once and passes through all of them. The view scores has the mean, and how far the
    members are apart. Findings, gate and maps are laid out as the first model's. See docs/models.md.

    Example: nightread models ensemble seed-1 seed-2 seed-3 --name ours
    """
    settings, database = ready()
    options = EnsembleOptions(numbers("--thresholds", thresholds), description, provenance, licence)
    with err.status("checking the members"):
        model = make_ensemble(
            settings.models,
            name,
            members,
            options,
            # With maps, as workers load it: they find the graphs that are exported now.
            lambda made: Ensemble.load(made, engine_of(settings), graphs=settings.graphs),
        )
        register(database, model)
    card = model.card
    say(f"model {name}: {len(members)} members, SHA-256 {card.sha256[:SHORT_HASH]}: {model.folder}")
    say(f"to use it: nightread score MANIFEST --images DIR --model {name}")
    if not card.clinical_use:
        say("Not for clinical use.")
