"""The models as `nightread models list` shows them."""

from typing import Any, Final

from config.cards.classification import ClassificationCard
from config.cards.model import find_model
from config.cards.stub import StubCard
from config.errors import ConfigError
from config.settings import Settings

SHORT_HASH: Final = 12

COLUMNS: Final = ("name", "where", "network", "findings", "trained", "compared", "sha256", "description")

Entry = dict[str, Any]
"""A model as --json lists it."""


def entry_of(name: str, settings: Settings) -> Entry:
    """Return what is listed of a model; of one whose card is wrong, its `error`."""
    entry: Entry = {
        "name": name,
        "where": "yours" if (settings.models / name).exists() else "shipped",
    }
    try:
        card = find_model(name, settings.models).card
    except ConfigError as error:
        return entry | {"error": str(error)}
    network = card if isinstance(card, ClassificationCard) else None
    return entry | {
        "network": None if isinstance(card, StubCard) else card.architecture,
        "members": [member.name for member in network.members or ()] if network else [],
        "findings": list(card.findings),
        "trained": card.trained,
        "imported": network is not None and network.weights is not None and network.training is None,
        "compared": network.compared if network else None,
        "home": network.home.model_dump() if network and network.home else None,
        "clinical_use": card.clinical_use,
        "sha256": card.sha256,
        "description": card.description,
    }


def row_of(entry: Entry) -> tuple[object, ...]:
    """Return an entry as a row of the table with these COLUMNS."""
    if "error" in entry:
        return entry["name"], entry["where"], "", "", "", "", "", f"error: {entry['error']}"
    return (
        entry["name"],
        entry["where"],
        f"{entry['network']} of {len(entry['members'])}" if entry["members"] else entry["network"] or "",
        len(entry["findings"]),
        "yes" if entry["trained"] else "no",
        _compared(entry),
        entry["sha256"][:SHORT_HASH],
        entry["description"],
    )


def _compared(entry: Entry) -> str:
    parts = [] if entry["compared"] is None else [f"{entry['compared']:g}"]
    if entry["home"] is not None:
        parts.append(f"{entry['home']['difference']:g} from {entry['home']['file']}")
    # What was trained here has no original.
    return ", ".join(parts) or ("not compared" if entry["imported"] and entry["where"] == "yours" else "")
