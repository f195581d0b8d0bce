"""The card of a network that gives each finding a probability and a map."""

from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, field_validator, model_validator

from config.cards.card import (
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
from config.cards.member import Members, members_sha256
from config.films import Recipe

ARCHITECTURES: Final[dict[str, str]] = {
    "densenet121": "workers.inference.networks.densenet",
    "densenet161": "workers.inference.networks.densenet",
    "densenet169": "workers.inference.networks.densenet",
    "densenet201": "workers.inference.networks.densenet",
}
"""The networks that a card may name, each with its module, which only a worker's process loads."""

ENSEMBLE: Final = "ensemble"
"""The architecture of a card whose members answer together."""

Side = Annotated[int, Field(ge=32, le=2048)]
"""Of a picture that is resized, in pixels."""


class Preprocessing(Frozen):
    """How a decoded picture becomes the network's input: x = (value * factor - mean) / std.

    With `standardize`, mean and std are the input's own.
    """

    size: Annotated[int, Field(ge=32, le=2048, description="Height and width of the input, pixels.")]
    channels: Literal[1, 3]
    resize: Annotated[
        Literal["nearest", "bilinear", "bicubic", "linear", "gaussian", "tensor", "tensor-antialiased"],
        Field(
            description="The library that the model was trained with; the picture is stretched to a square. "
            "nearest: Pillow, as Keras' load_img(target_size=...). bilinear: Pillow, antialiased, as "
            "torchvision's transforms.Resize of Pillow's pictures. bicubic: the same with "
            "InterpolationMode.BICUBIC. linear: scikit-image's resize(order=1, "
            "anti_aliasing=False), its default before 0.15. gaussian: scikit-image's resize(order=1, "
            "anti_aliasing=True, mode='constant') with mid-grey outside, as torchxrayvision's XRayResizer. "
            "tensor: bilinear on floating-point tensors, not antialiased, as torchvision's "
            "Resize(antialias=False), torch's interpolate and tf.image.resize. tensor-antialiased: the same "
            "with antialias=True."
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
    resize_first: Annotated[
        Side | tuple[Side, Side] | None,
        Field(
            description="What a picture is resized to before its middle, size x size, is cut out: one number "
            "for its shorter side, the other in proportion, or height and width. So do torchvision's "
            "Resize(256) or Resize((256, 256)), and CenterCrop. None: it is resized to the input's size."
        ),
    ] = None
    ten_crops: Annotated[
        bool,
        Field(
            description="Whether not the middle alone of a picture that is resized first is scored, but its "
            "corners, too, and the five of its mirror image, as torchvision's TenCrop cuts them: a "
            "probability is the mean of ten. Maps are the middle's."
        ),
    ] = False
    standardize: Annotated[
        bool,
        Field(
            description="Whether each input is standardised by the mean and the standard deviation of its "
            "own values, all channels together, as tf.image.per_image_standardization does."
        ),
    ] = False

    greyscale: Annotated[
        Recipe,
        Field(
            description="How greys are made of a DICOM film's values; other files have theirs. window: by "
            "its VOI LUT or window, as NIH made ChestX-ray14. minmax: its smallest and largest value are "
            "black and white. maxbit: the largest value that its bits can hold is white, as "
            "torchxrayvision's read_xray_dcm. equalized: minmax in whole greys, then equalizeHist, as "
            "MIMIC-CXR-JPG."
        ),
    ] = "window"

    least_side: Annotated[
        int, Field(ge=1, description="A picture with a side of fewer pixels is no radiograph, and fails.")
    ] = 32
    least_contrast: Annotated[
        float,
        Field(
            ge=0,
            le=255,
            description="A picture fails where its grey values from the 1st to the 99th percentile span less "
            "than this, of 255. Real radiographs span more than 100.",
        ),
    ] = 16.0

    @model_validator(mode="after")
    def _one_number_per_channel(self) -> Self:
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(f"mean and std need {self.channels} numbers, one per channel")
        return self

    @model_validator(mode="after")
    def _middle_lies_inside(self) -> Self:
        if self.resize_first is None:
            if self.ten_crops:
                raise ValueError("ten_crops are cut out of a larger picture; resize_first says how large")
            return self
        sides = self.resize_first if isinstance(self.resize_first, tuple) else (self.resize_first,)
        if min(sides) < self.size:
            raise ValueError(
                f"resize_first {min(sides)} is less than size {self.size}, which is cut out of it"
            )
        if self.center_crop:
            raise ValueError("center_crop and resize_first are two ways to cut out the middle; give one")
        return self

    @model_validator(mode="after")
    def _one_standardisation(self) -> Self:
        if self.standardize and (set(self.mean), set(self.std)) != ({0.0}, {1.0}):
            raise ValueError("standardize takes the input's own mean and std; mean must be 0 and std 1")
        return self


class Training(Frozen):
    """What a model was trained on, and how: enough to repeat the training."""

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


class HomeComparison(Frozen):
    """How far a model is from scores that its owner brought from where it comes from."""

    file: Annotated[str, Field(description="Name of the table of scores.")]
    images: Annotated[int, Field(description="Number of its images.")]
    findings: Annotated[int, Field(description="Number of the findings that it has scores of.")]
    difference: Annotated[float, Field(description="The largest of a probability.")]


GatePolicy = Literal["flag", "refuse"]
"""What happens to a picture that does not pass a model's gate."""


class GateCard(Frozen):
    """The gate that tells pictures apart from those that the model knows."""

    sha256: Annotated[Sha256, Field(description="Of the gate's file beside the card.")]
    images: Annotated[int, Field(description="Number of those it was fitted on.")]
    policy: Annotated[
        GatePolicy,
        Field(description="flag: a picture that does not pass is scored and flagged. refuse: it fails."),
    ] = "flag"


class ClassificationCard(Frozen):
    """A network's card: what it is, how its pixels are prepared, what it must answer to a known picture.

    Or that of an ensemble, whose members each prepare the pixels as their own cards say. Its `pixels` are the
    first member's: maps lie on what that one sees, the gate looks at its features. `final_relu` is unused.
    """

    channels: ClassVar[tuple[str, ...]] = ()
    """Its manifests have none: an image is one file."""

    kind: Literal["classification"] = "classification"
    name: ModelName
    description: str
    architecture: Annotated[str, Field(description="The network, by its name in ARCHITECTURES, or ensemble.")]
    sha256: Annotated[
        Sha256,
        Field(
            description="Of the weights: of the file, or of the seeded arrays; of an ensemble, of its "
            "members' fingerprints."
        ),
    ]
    weights: Annotated[
        str | None, Field(description="File beside the card. None: initialised from `seed`.")
    ] = None
    seed: int | None = None
    members: Annotated[
        Members | None,
        Field(description="Of an ensemble: a probability is the mean of theirs. They are found by name."),
    ] = None
    findings: Findings
    thresholds: Numbers
    pixels: Preprocessing
    final_relu: Annotated[
        bool, Field(description="Whether there is a ReLU between the last batch norm and the pooling.")
    ] = True
    golden: Annotated[
        Numbers, Field(description="The probabilities for the test pattern; checked before the first batch.")
    ]
    golden_film: Annotated[
        Numbers | None,
        Field(
            description="The same for the test pattern as a DICOM film, so that DICOM files are prepared as "
            "when the model was made. None: they are not checked."
        ),
    ] = None
    sensitive_thresholds: Annotated[
        Numbers | None,
        Field(description="Thresholds that reached `wanted_sensitivity` on the validation split."),
    ] = None
    wanted_sensitivity: Probability | None = None
    training: Annotated[Training | None, Field(description="What `nightread train` made the model from.")] = (
        None
    )
    figures: Annotated[
        dict[str, dict[str, float]] | None,
        Field(description="What was measured: a name, then one number per finding."),
    ] = None
    unused: Annotated[
        tuple[str, ...] | None,
        Field(description="Arrays of the file it was made of that are not its network's, and were left."),
    ] = None
    compared: Annotated[
        float | None,
        Field(
            description="Largest difference of a probability from the original's, for three pictures. None: "
            "it was not compared."
        ),
    ] = None
    views: Annotated[
        Views | None,
        Field(description="Of the images it was trained on; a run leaves others out. None: not known."),
    ] = None
    home: Annotated[
        HomeComparison | None,
        Field(description="The comparison with scores from home. None: it was not compared with any."),
    ] = None
    gate: Annotated[GateCard | None, Field(description="None: no gate was fitted.")] = None
    trained: bool = True
    clinical_use: bool = False
    provenance: str
    licence: str

    @property
    def outputs(self) -> tuple[str, ...]:
        """What the network's outputs are of, in their order."""
        return self.findings

    @field_validator("architecture")
    @classmethod
    def _known(cls, architecture: str) -> str:
        known = (*ARCHITECTURES, ENSEMBLE)
        if architecture not in known:
            raise ValueError(f"{architecture!r} is no network; there are: {', '.join(known)}")
        return architecture

    @field_validator("golden", mode="before")
    @classmethod
    def _there(cls, golden: object) -> object:
        if golden is None:
            raise ValueError(
                "golden is missing: without it a worker cannot tell a wrong model from a right one"
            )
        return golden

    @model_validator(mode="after")
    def _weights_and_numbers_fit(self) -> Self:
        require_one_per_finding(
            self.findings,
            thresholds=self.thresholds,
            sensitive_thresholds=self.sensitive_thresholds,
            golden=self.golden,
            golden_film=self.golden_film,
        )
        if self.members is None and self.architecture != ENSEMBLE:
            require_weights_or_seed(self.weights, self.seed)
        return self

    @model_validator(mode="after")
    def _members_are_an_ensembles(self) -> Self:
        if (self.members is None) == (self.architecture == ENSEMBLE):
            raise ValueError(f"members and the architecture {ENSEMBLE} belong together")
        if self.members is None:
            return self
        if self.weights is not None or self.seed is not None:
            raise ValueError("an ensemble has members, and no weights or seed of its own")
        if len({member.card_sha256 for member in self.members}) < len(self.members):
            raise ValueError("members names one twice")
        if self.sha256 != members_sha256(self.members):
            raise ValueError("sha256 is not that of the members' fingerprints; make the ensemble again")
        return self
