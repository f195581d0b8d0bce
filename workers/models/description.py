"""A model card as people read it: what `nightread models show` prints."""

from typing import Final

from config.cards.classification import ClassificationCard
from config.cards.model import Card, Model
from config.cards.stub import StubCard

_BY_FINDING: Final = {"findings", "golden", "golden_film", "figures"}

_UNUSED_BY_ENSEMBLES: Final = {"final_relu"}


def facts_of(model: Model[Card]) -> list[tuple[str, str]]:
    """Return the fields about the model as a whole, in the card's order, nested ones by their path."""
    card = model.card
    members = card.members or () if isinstance(card, ClassificationCard) else ()
    left = _BY_FINDING | {"kind", "name"} | (_UNUSED_BY_ENSEMBLES if members else set())
    rows = [("folder", str(model.folder))]
    for field, value in card.model_dump(mode="json", exclude=left).items():
        if field == "members":
            rows += [
                (f"member {place}", f"{member.name}, SHA-256 {member.sha256}")
                for place, member in enumerate(members, start=1)
            ]
        elif isinstance(value, dict):
            rows += [(f"{field}.{inner}", _plain(part)) for inner, part in value.items() if part is not None]
        elif value is not None and not field.endswith("thresholds"):
            rows.append((field, _plain(value)))
    return rows


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_plain(part) for part in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def columns_of(card: Card) -> dict[str, list[float | None]]:
    """Return what the card has for each finding: thresholds, golden scores, and figures by their names."""
    columns: dict[str, list[float | None]] = {"threshold": list(card.thresholds)}
    if isinstance(card, StubCard):
        return columns
    if isinstance(card, ClassificationCard):
        if card.sensitive_thresholds is not None:
            columns["sensitive threshold"] = list(card.sensitive_thresholds)
        columns["golden"] = list(card.golden)
        if card.golden_film is not None:
            columns["golden film"] = list(card.golden_film)
    for what, figures in (card.figures or {}).items():
        columns[what] = [figures.get(finding) for finding in card.findings]
    return columns
