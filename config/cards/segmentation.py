"""The card of a network that segments volumes: each voxel's probability of each class."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from config.cards.card import (
    FindingName,
    Findings,
    Frozen,
    ModelName,
    Numbers,
    Probability,
    Sha256,
    Views,
    require_one_per_finding,
    require_weights_or_seed,
)

ARCHITECTURES: Final[dict[str, str]] = {"unet3d": "workers.inference.networks.unet3d"}
"""The networks that a card may name, each with its module, which only a worker's process loads."""

CHANNEL_SPELLINGS: Final[dict[str, tuple[str, ...]]] = {
    "FLAIR": ("flair", "t2f", "t2_flair"),
    "T1": ("t1", "t1n", "t1w"),
    "T1Gd": ("t1gd", "t1ce", "t1c", "t1_gd"),
    "T2": ("t2", "t2w"),
}
"""The usual channels and the names that columns of manifests give them, in lower case."""

Edge = Annotated[int, Field(ge=8, le=512)]
"""Of a patch along one axis, in voxels."""


class VolumeTraining(Frozen):
    """What a model of volumes was trained on, and how: enough to repeat the training."""

    train_sha256: str
    valid_sha256: str
    train_volumes: int
    valid_volumes: int
    unusable_volumes: int = 0
    shared_patients: int
    started_from: Annotated[
        str | None, Field(description="Fingerprint of the model that the training started from.")
    ] = None
    epochs: int
    best_epoch: int
    batch: int
    learning_rate: float
    max_background: Annotated[
        Probability, Field(description="A sub-volume with this share of background, or more, was not drawn.")
    ]
    samples: Annotated[int, Field(description="Sub-volumes of a volume in an epoch.")] = 1
    seed: int


class SegmentationCard(Frozen):
    """A segmenting network's card: what it is, how volumes are prepared for it, what it must answer."""

    kind: Literal["segmentation"] = "segmentation"
    views: ClassVar[Views | None] = None
    """Volumes have no view position."""

    longest_batch_seconds: ClassVar[int] = 7200
    """The course's network takes ten seconds for a patch on two cores, and a head has up to 76."""

    batch_size: ClassVar[int | None] = 1
    """A case takes as long as a batch of radiographs."""

    name: ModelName
    description: str
    architecture: Annotated[str, Field(description="The network, by its name in ARCHITECTURES.")]
    base: Annotated[
        int, Field(ge=1, le=128, description="Filters of the first level; each level doubles them.")
    ] = 32
    depth: Annotated[int, Field(ge=2, le=6, description="Levels; each but the last halves the volume.")] = 4
    sha256: Annotated[Sha256, Field(description="Of the weights: of the file, or of the seeded arrays.")]
    weights: Annotated[
        str | None, Field(description="File beside the card. None: initialised from `seed`.")
    ] = None
    seed: int | None = None
    channels: Annotated[
        tuple[FindingName, ...],
        Field(min_length=1, description="The sequences in the order of the input's channels."),
    ]
    classes: Annotated[
        Findings, Field(description="In the order of the outputs; the first is label 1, 0 is background.")
    ]
    regions: Annotated[
        dict[FindingName, tuple[FindingName, ...]],
        Field(
            default_factory=dict,
            description="Unions of classes that figures are given of, too, each with its classes.",
        ),
    ]
    patch: Annotated[
        tuple[Edge, Edge, Edge], Field(description="The network's input along x, y and z, voxels.")
    ]
    overlap: Annotated[
        float, Field(ge=0, lt=0.95, description="Share of a patch that the next one covers again.")
    ] = 0.5
    standardization: Annotated[
        Literal["plane", "brain"],
        Field(
            description="To mean 0 and standard deviation 1, per channel. plane: each z plane of a patch by "
            "its own values, as the course does for training; a plane of one value is zero. brain: the "
            "volume by its voxels that are not zero, and the others stay zero."
        ),
    ] = "plane"
    threshold: Annotated[
        Probability,
        Field(
            description="A voxel is of the class with the largest probability if that is at least this; else "
            "it is background."
        ),
    ] = 0.5
    golden: Annotated[
        Numbers,
        Field(
            description="The mean probability of each class in the drawn test volume; checked before the "
            "first case."
        ),
    ]
    training: Annotated[
        VolumeTraining | None, Field(description="What `nightread train` made the model from.")
    ] = None
    figures: Annotated[
        dict[str, dict[str, float]] | None,
        Field(description="What was measured: a name, then one number per class or region."),
    ] = None
    trained: bool = True
    clinical_use: bool = False
    provenance: str
    licence: str
    label_values: Annotated[
        tuple[Annotated[int, Field(ge=1, le=255)], ...] | None,
        Field(
            description="The value of each class in files of labels and in masks; 0 is background. Default: "
            "1, 2, … in the order of the classes."
        ),
    ] = None

    @property
    def values(self) -> tuple[int, ...]:
        """The value of each class in files of labels and in masks."""
        return self.label_values or tuple(range(1, len(self.classes) + 1))

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the network's outputs are of, in their order."""
        return self.classes

    @property
    def findings(self) -> tuple[str, ...]:
        """What the ledger has rows of: the classes, then the regions."""
        return (*self.classes, *self.regions)

    @property
    def thresholds(self) -> Numbers:
        """The threshold of each finding."""
        return (self.threshold,) * len(self.findings)

    @property
    def labels(self) -> Mapping[str, tuple[int, ...]]:
        """The labels of each finding, as arrays have them: a class has one, a region those of its classes."""
        value = {name: label for label, name in enumerate(self.classes, start=1)}
        return {name: (label,) for name, label in value.items()} | {
            region: tuple(value[name] for name in members) for region, members in self.regions.items()
        }

    @field_validator("architecture")
    @classmethod
    def _known(cls, architecture: str) -> str:
        if architecture not in ARCHITECTURES:
            raise ValueError(
                f"{architecture!r} is no network for volumes; there are: {', '.join(ARCHITECTURES)}"
            )
        return architecture

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        require_weights_or_seed(self.weights, self.seed)
        require_one_per_finding(self.findings)
        if len(self.golden) != len(self.classes):
            raise ValueError(f"golden has {len(self.golden)} numbers for {len(self.classes)} classes")
        if len(self.values) != len(self.classes):
            raise ValueError(f"label_values has {len(self.values)} numbers for {len(self.classes)} classes")
        if len(set(self.values)) != len(self.values):
            raise ValueError("label_values has one twice")
        if len({name.casefold() for name in self.channels}) != len(self.channels):
            raise ValueError("channels names one twice")
        for region, members in self.regions.items():
            foreign = [name for name in members if name not in self.classes]
            if foreign:
                raise ValueError(f"regions: {region} names {', '.join(foreign)}, which is no class")
            if not members:
                raise ValueError(f"regions: {region} has no class")
        step = 2 ** (self.depth - 1)
        if any(edge % step for edge in self.patch):
            raise ValueError(f"patch: each edge must be a multiple of {step} for a depth of {self.depth}")
        return self
