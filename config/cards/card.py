"""Model cards: what a model is, how its pixels are prepared, and what it must answer to a known picture."""

import hashlib
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from config.errors import ConfigError

SHIPPED: Final = Path(__file__).parents[1] / "models"
"""The models that come with Nightread."""

CARD_FILE: Final = "card.yaml"

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
# A finding's name is a folder's name below the heatmaps, too.
FindingName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][^/\\\x00-\x1f]{0,99}$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Preprocessing(_Frozen):
    """How a decoded picture becomes the network's input: x = (value * factor - mean) / std."""

    size: Annotated[int, Field(ge=32, le=2048, description="Height and width of the input, pixels.")]
    channels: Literal[1, 3]
    resize: Annotated[
        Literal["nearest", "bilinear", "linear", "gaussian"],
        Field(
            description="The library that the model was trained with; the picture is stretched to a square. "
            "nearest: Pillow, as Keras' load_img(target_size=...). bilinear: Pillow, antialiased, as "
            "torchvision's transforms.Resize of Pillow's pictures. linear: scikit-image's resize(order=1, "
            "anti_aliasing=False), its default before 0.15. gaussian: scikit-image's resize(order=1, "
            "anti_aliasing=True, mode='constant') with mid-grey outside, as torchxrayvision's XRayResizer."
        ),
    ]
    factor: Annotated[float, Field(gt=0, description="Multiplies the grey value 0-255 first.")]
    mean: tuple[float, ...]
    std: tuple[Annotated[float, Field(gt=0)], ...]
    center_crop: Annotated[
        bool,
        Field(
            description="Whether the largest square in the picture's middle is all that is resized, as by "
            "torchxrayvision's XRayCenterCrop."
        ),
    ] = False

    @model_validator(mode="after")
    def _one_number_a_channel(self) -> Self:
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(f"mean and std need {self.channels} numbers, one a channel")
        return self


class Training(_Frozen):
    """What a model was trained on, and how: enough to do it again."""

    train_sha256: str
    valid_sha256: str
    train_images: int
    valid_images: int
    unusable_images: int = 0
    shared_patients: int
    started_from: Annotated[
        str | None, Field(description="Fingerprint of the model that the training started from.")
    ] = None
    epochs: int
    best_epoch: int
    batch: int
    learning_rate: float
    flip: bool
    seed: int


class ModelCard(_Frozen):
    """The validated content of a `card.yaml`."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
    description: str
    architecture: Annotated[
        Literal["densenet121", "stub"],
        Field(
            description="`stub` answers without a network; for tests and benchmarks of queue and database."
        ),
    ]
    sha256: Annotated[
        str,
        Field(pattern="^[0-9a-f]{64}$", description="Of the weights: of the file, or of the seeded arrays."),
    ]
    weights: Annotated[
        str | None, Field(description="File beside the card. None: initialised from `seed`.")
    ] = None
    seed: int | None = None
    findings: Annotated[
        tuple[FindingName, ...], Field(min_length=1, description="In the order of the outputs.")
    ]
    thresholds: tuple[Probability, ...]
    pixels: Preprocessing
    final_relu: Annotated[
        bool, Field(description="Whether a ReLU stands between the last batch norm and the pooling.")
    ] = True
    golden: Annotated[
        tuple[Probability, ...] | None,
        Field(description="The probabilities for the test pattern; checked before the first batch."),
    ] = None
    sensitive_thresholds: Annotated[
        tuple[Probability, ...] | None,
        Field(description="Thresholds that reached `wanted_sensitivity` on the validation split."),
    ] = None
    wanted_sensitivity: Probability | None = None
    training: Annotated[Training | None, Field(description="What `nightread train` made the model from.")] = (
        None
    )
    figures: Annotated[
        dict[str, dict[str, float]] | None,
        Field(description="What was measured: a name, then a number a finding."),
    ] = None
    trained: bool = True
    clinical_use: bool = False
    provenance: str
    licence: str

    @model_validator(mode="after")
    def _one_number_a_finding(self) -> Self:
        if len(set(self.findings)) != len(self.findings):
            raise ValueError("findings names one twice")
        for field in ("thresholds", "sensitive_thresholds", "golden"):
            values = getattr(self, field)
            if values is not None and len(values) != len(self.findings):
                raise ValueError(f"{field} has {len(values)} numbers for {len(self.findings)} findings")
        if self.architecture == "densenet121" and (self.weights is None) == (self.seed is None):
            raise ValueError("exactly one of weights and seed must be given")
        if self.architecture == "densenet121" and self.golden is None:
            raise ValueError(
                "golden is missing: without it a worker cannot tell a wrong model from a right one"
            )
        return self

    @property
    def fingerprint(self) -> str:
        """The hex SHA-256 of all that the card says; what it leaves at its default does not count."""
        return hashlib.sha256(self.model_dump_json(exclude_defaults=True).encode()).hexdigest()


class Model(_Frozen):
    """A model's folder with its card."""

    folder: Path
    card: ModelCard

    @property
    def weights_file(self) -> Path | None:
        """The file of the weights, None where they come from the card's seed."""
        return None if self.card.weights is None else self.folder / self.card.weights


def read_model(folder: Path) -> Model:
    """Read the card of one model folder; ConfigError says what is wrong with it."""
    path = folder / CARD_FILE
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Model(folder=folder, card=make_card(content))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def make_card(content: Any) -> ModelCard:
    """Validate a card's fields; ConfigError names those that are wrong."""
    try:
        return ModelCard.model_validate(content)
    except ValidationError as error:
        raise ConfigError(problems_of(error)) from error


def problems_of(error: ValidationError) -> str:
    """Say in one line what is wrong with which fields."""
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc']) or 'card'}: {problem['msg']}"
        for problem in error.errors(include_url=False)
    )


def list_models(models_dir: Path) -> list[str]:
    """Names of the user's and the shipped models, the user's first."""
    folders = [path.parent for root in (models_dir, SHIPPED) for path in sorted(root.glob(f"*/{CARD_FILE}"))]
    return list(dict.fromkeys(folder.name for folder in folders))


def find_model(name: str, models_dir: Path) -> Model:
    """Find a model by its folder's name, the user's before the shipped; ConfigError lists what there is."""
    for root in (models_dir, SHIPPED):
        if (root / name / CARD_FILE).is_file() and (root / name).parent == root:
            model = read_model(root / name)
            if model.card.name != name:
                raise ConfigError(
                    f"{root / name / CARD_FILE}: name is {model.card.name!r}, the folder's name is {name!r}; "
                    "they must be the same"
                )
            return model
    raise ConfigError(
        f"there is no model {name!r}; there are: {', '.join(list_models(models_dir)) or 'none'}"
    )
