"""The options that say where results are sent, the same for `send`, `score`, `submit` and `schedule add`."""

from collections.abc import Sequence
from typing import Annotated

import typer

from config.settings import load_settings
from jobs.deliveries.peer import peer_of
from jobs.deliveries.receiver import Receiver
from jobs.kinds.objects import OBJECT_KINDS, ObjectKind

SendToOption = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Send the results into a PACS once the run is complete, as `nightread send` does: "
        "TITLE@HOST:PORT for C-STORE, or dicomweb+https://HOST/PATH for STOW-RS.",
    ),
]
FormatsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        metavar="KINDS",
        help=f"What to send: {', '.join(OBJECT_KINDS)}; repeatable, or separated by commas. Default: all "
        "that the run has.",
    ),
]
TlsOption = Annotated[bool, typer.Option("--tls", help="C-STORE over TLS.")]


def receiver_of(target: str | None, formats: Sequence[str] | None, *, tls: bool) -> Receiver | None:
    """Return the receiver that the options name; None if they name none."""
    if target is None:
        if formats or tls:
            raise typer.BadParameter("goes with --send-to", param_hint="--format, --tls")
        return None
    # The ledger knows a receiver by one name, however its address is written.
    return Receiver(peer_of(target, load_settings(), tls=tls).target, kinds_named(formats), tls)


def kinds_named(formats: Sequence[str] | None) -> tuple[ObjectKind, ...] | None:
    """Return the kinds of objects that --format names; None where it is not given."""
    words = [word.strip() for given in formats or () for word in given.split(",")]
    unknown = next((word for word in words if word not in OBJECT_KINDS), None)
    if unknown is not None:
        raise typer.BadParameter(f"{unknown!r} is none of {', '.join(OBJECT_KINDS)}", param_hint="--format")
    return tuple(kind for kind in OBJECT_KINDS if kind in words) or None
