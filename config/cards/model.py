"""Model folders: a card beside its weights, the user's own before those that come with Nightread."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Generic, TypeVar

import yaml
from pydantic import ValidationError

from config.cards.card import problems_of
from config.cards.classification import ENSEMBLE, ClassificationCard
from config.cards.member import Member
from config.cards.segmentation import SegmentationCard
from config.cards.stub import StubCard
from config.errors import ConfigError

SHIPPED: Final = Path(__file__).parents[1] / "models"
"""The models that come with Nightread."""

CARD_FILE: Final = "card.yaml"

GATE_FILE: Final = "gate.npz"
"""Beside the card of a model whose gate was fitted."""

Card = ClassificationCard | SegmentationCard | StubCard

CARDS: Final[dict[str, type[Card]]] = {
    "classification": ClassificationCard,
    "segmentation": SegmentationCard,
    "stub": StubCard,
}
"""The kinds of card, by the field `kind`; a card without that field is of the first kind."""

DEFAULT_KIND: Final = "classification"

CardT_co = TypeVar("CardT_co", bound=Card, covariant=True)


@dataclass(frozen=True, slots=True)
class Model(Generic[CardT_co]):
    """A model's folder with its card; of an ensemble that was found, also its members."""

    folder: Path
    card: CardT_co
    members: tuple["Model[ClassificationCard]", ...] = ()


Classifier = Model[ClassificationCard]

Segmenter = Model[SegmentationCard]


def networks_of(model: Classifier) -> tuple[Classifier, ...]:
    """Return the members of an ensemble, or the model itself."""
    return model.members or (model,)


def weights_file(model: Classifier | Segmenter) -> Path | None:
    """Return the file of the weights, None where they come from the card's seed."""
    return None if model.card.weights is None else model.folder / model.card.weights


def require_classifier(model: Model[Card]) -> Classifier:
    """Return the model as a classifier; ConfigError if it is of another kind."""
    if not isinstance(model.card, ClassificationCard):
        raise ConfigError(
            f"model {model.card.name} is of the kind {model.card.kind}; a model of the kind classification "
            "is needed"
        )
    return Model(model.folder, model.card, model.members)


def require_segmenter(model: Model[Card]) -> Segmenter:
    """Return the model as one that segments volumes; ConfigError if it is of another kind."""
    if not isinstance(model.card, SegmentationCard):
        raise ConfigError(
            f"model {model.card.name} is of the kind {model.card.kind}; a model of the kind segmentation "
            "is needed"
        )
    return Model(model.folder, model.card)


def require_network(model: Model[Card]) -> Classifier:
    """Return the model as a network; ConfigError if it is of another kind, or an ensemble of several."""
    network = require_classifier(model)
    if network.card.architecture == ENSEMBLE:
        raise ConfigError(
            f"model {network.card.name} is an ensemble; one network is needed, such as one of its members"
        )
    return network


def read_model(folder: Path) -> Model[Card]:
    """Read the card of one model folder; ConfigError says what is wrong with it.

    The members of an ensemble lie elsewhere: see `with_members`.
    """
    path = folder / CARD_FILE
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Model(folder, make_card(content))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def make_card(content: object) -> Card:
    """Validate a card's fields; ConfigError names those that are wrong."""
    kind = content.get("kind", DEFAULT_KIND) if isinstance(content, dict) else DEFAULT_KIND
    if kind not in CARDS:
        raise ConfigError(f"kind: is {kind!r}; there are: {', '.join(CARDS)}")
    try:
        return CARDS[kind].model_validate(content)
    except ValidationError as error:
        raise ConfigError(problems_of(error)) from error


def list_models(models_dir: Path) -> list[str]:
    """Return the names of the user's and the shipped models, the user's first."""
    folders = [path.parent for root in (models_dir, SHIPPED) for path in sorted(root.glob(f"*/{CARD_FILE}"))]
    return list(dict.fromkeys(folder.name for folder in folders))


def find_model(name: str, models_dir: Path) -> Model[Card]:
    """Find a model by its folder's name, the user's before the shipped, and an ensemble's members with it.

    ConfigError lists all models, or says what is wrong with this one.
    """
    for root in (models_dir, SHIPPED):
        if (root / name / CARD_FILE).is_file() and (root / name).parent == root:
            model = read_model(root / name)
            if model.card.name != name:
                raise ConfigError(
                    f"{root / name / CARD_FILE}: name is {model.card.name!r}, the folder's name is {name!r}; "
                    "they must be the same"
                )
            return with_members(model, models_dir)
    raise ConfigError(
        f"there is no model {name!r}; there are: {', '.join(list_models(models_dir)) or 'none'}"
    )


def with_members(model: Model[Card], models_dir: Path) -> Model[Card]:
    """Find the members of an ensemble; any other model is returned as it is.

    Raises ConfigError where a member is missing, or is not what it was when the ensemble was made.
    """
    card = model.card
    if not isinstance(card, ClassificationCard) or card.members is None:
        return model
    members = tuple(_find_member(card.name, member, models_dir) for member in card.members)
    for member in members:
        if set(member.card.findings) != set(card.findings):
            raise ConfigError(f"ensemble {card.name}: its findings are not those of {member.card.name}")
    if card.pixels != members[0].card.pixels:
        raise ConfigError(f"ensemble {card.name}: its pixels are not those of {members[0].card.name}")
    return replace(model, members=members)


def _find_member(ensemble: str, wanted: Member, models_dir: Path) -> Classifier:
    folders = [
        root / wanted.name for root in (models_dir, SHIPPED) if (root / wanted.name / CARD_FILE).is_file()
    ]
    for folder in folders:
        found = read_model(folder)
        if (found.card.fingerprint, found.card.sha256) == (wanted.card_sha256, wanted.sha256):
            return require_network(found)
    if folders:
        raise ConfigError(
            f"ensemble {ensemble}: its member {wanted.name} has changed since: {folders[0] / CARD_FILE} is "
            "another card than the ensemble names; put that one back, or make the ensemble again"
        )
    raise ConfigError(
        f"ensemble {ensemble}: its member {wanted.name} is not here; copy that model's folder to {models_dir}"
    )
