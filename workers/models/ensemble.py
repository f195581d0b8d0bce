"""Make an ensemble's model folder: a card that names its members, which stay where they are."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from config.cards.card import problems_of
from config.cards.classification import ENSEMBLE, ClassificationCard
from config.cards.member import Member, members_sha256
from config.cards.model import (
    GATE_FILE,
    Classifier,
    find_model,
    read_model,
    require_classifier,
    require_network,
    with_members,
)
from config.errors import ConfigError
from workers.inference.ensemble import mean_golden, order_of
from workers.models.folder import require_free, write_card, writing

_FEWEST = 2


@dataclass(frozen=True, slots=True)
class EnsembleOptions:
    """What the card says that its members' do not; None: it follows from theirs."""

    thresholds: tuple[float, ...] | None = None
    description: str | None = None
    provenance: str | None = None
    licence: str | None = None


def make_ensemble(
    models_dir: Path,
    name: str,
    names: Sequence[str],
    options: EnsembleOptions,
    check: Callable[[Classifier], object],
) -> Classifier:
    """Write the folder of an ensemble of the models with these names; returns it as it is found.

    Its findings, pixels and gate are the first member's; its thresholds and golden scores the members' means.
    `check` loads it as a worker does, or raises. Raises ConfigError where it cannot be made; nothing is left
    behind then.
    """
    require_free(name, models_dir, "choose another --name")
    members = _members(names, models_dir)
    card = _card(name, [member.card for member in members], options)
    with writing(models_dir), tempfile.TemporaryDirectory(dir=models_dir, prefix=".new-") as scratch:
        folder = Path(scratch) / name
        folder.mkdir()
        write_card(folder, card)
        if card.gate is not None:
            shutil.copy2(members[0].folder / GATE_FILE, folder)
        check(require_classifier(with_members(read_model(folder), models_dir)))
        folder.rename(models_dir / name)
    return require_classifier(find_model(name, models_dir))


def _members(names: Sequence[str], models_dir: Path) -> list[Classifier]:
    """Find the members; ConfigError where they cannot answer together."""
    if len(names) < _FEWEST:
        raise ConfigError("an ensemble has two members or more")
    members = [require_network(find_model(name, models_dir)) for name in names]
    first = members[0].card
    seen: dict[object, str] = {}
    for member in members:
        card = member.card
        network = (card.sha256, card.pixels, card.final_relu)
        if network in seen:
            twin = "given twice" if seen[network] == card.name else f"the same network as {seen[network]}"
            raise ConfigError(f"{card.name} is {twin}; its answer would count twice")
        seen[network] = card.name
        if set(card.findings) != set(first.findings):
            differing = sorted(set(card.findings) ^ set(first.findings))
            raise ConfigError(
                f"{card.name} has other findings than {first.name}: {', '.join(differing)}; members of an "
                "ensemble have the same"
            )
    return members


def _card(name: str, cards: Sequence[ClassificationCard], options: EnsembleOptions) -> ClassificationCard:
    first = cards[0]
    joined = tuple(Member(name=card.name, sha256=card.sha256, card_sha256=card.fingerprint) for card in cards)
    golden, golden_film = mean_golden(first, cards)
    facts = {
        "name": name,
        "description": options.description or f"Ensemble of {', '.join(card.name for card in cards)}",
        "architecture": ENSEMBLE,
        "sha256": members_sha256(joined),
        "members": joined,
        "findings": first.findings,
        "thresholds": _thresholds(cards, options.thresholds),
        "pixels": first.pixels,
        "golden": golden,
        "golden_film": golden_film,
        # What one of them was not trained on is left out for all.
        "views": next((card.views for card in cards if card.views is not None), None),
        "gate": first.gate,
        "trained": all(card.trained for card in cards),
        "provenance": options.provenance or _each(cards, "provenance"),
        "licence": options.licence or _each(cards, "licence"),
    }
    try:
        return ClassificationCard.model_validate(facts)
    except ValidationError as error:
        raise ConfigError(f"the card of {name} would be wrong: {problems_of(error)}") from error


def _thresholds(cards: Sequence[ClassificationCard], given: tuple[float, ...] | None) -> tuple[float, ...]:
    """Return the given thresholds, one for all findings or one for each, or the mean of the members'."""
    if given is not None:
        return given * len(cards[0].findings) if len(given) == 1 else given
    ordered = [np.take(card.thresholds, order_of(cards[0], card)) for card in cards]
    return tuple(round(float(mean), 6) for mean in np.mean(ordered, axis=0))


def _each(cards: Sequence[ClassificationCard], field: str) -> str:
    """Return what all members say, or what each of them does."""
    said = {card.name: str(getattr(card, field)) for card in cards}
    if len(set(said.values())) == 1:
        return next(iter(said.values()))
    return "; ".join(f"{name}: {text}" for name, text in said.items())
