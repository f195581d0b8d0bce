"""The public families of weight files: what each expects of its pixels, and what its outputs are called."""

from dataclasses import dataclass
from typing import Final, Literal

from config.cards.classification import Preprocessing
from config.findings import FINDINGS

LayoutName = Literal["course", "chexnet-keras", "torchxrayvision", "torchvision", "keras"]
AnyLayoutName = Literal[LayoutName, "course-unet"]
"""With that of a network for volumes, the course's 3-D U-Net; see `add_unet`."""

Resize = Literal["nearest", "bilinear", "bicubic", "linear", "gaussian", "tensor", "tensor-antialiased"]


@dataclass(frozen=True, slots=True)
class Layout:
    """What a weights file does not say about itself.

    `description`: with {} for the network's name. `findings`: in the order of the outputs; None where every
    file has its own. `pixels`: None where every file has its own. `statistics`: whether mean and std belong
    to one archive, so that those of `pixels` are only placeholders. `some_untrained`: whether outputs without
    a threshold were never trained.
    """

    description: str
    findings: tuple[str, ...] | None
    pixels: Preprocessing | None
    statistics: bool
    final_relu: bool
    threshold: float
    provenance: str
    licence: str
    some_untrained: bool = False


# Mean and standard deviation of ImageNet's RGB values, 0 to 1.
_IMAGENET: Final = {
    "factor": 1 / 255,
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
}

_COURSE_FINDINGS: Final = (
    "Cardiomegaly",
    "Emphysema",
    "Effusion",
    "Hernia",
    "Infiltration",
    "Mass",
    "Nodule",
    "Atelectasis",
    "Pneumothorax",
    "Pleural_Thickening",
    "Pneumonia",
    "Fibrosis",
    "Edema",
    "Consolidation",
)

_TORCHXRAYVISION_FINDINGS: Final = (
    "Atelectasis",
    "Consolidation",
    "Infiltration",
    "Pneumothorax",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Effusion",
    "Pneumonia",
    "Pleural_Thickening",
    "Cardiomegaly",
    "Nodule",
    "Mass",
    "Hernia",
    "Lung Lesion",
    "Fracture",
    "Lung Opacity",
    "Enlarged Cardiomediastinum",
)

_UNKNOWN_LICENCE: Final = "not stated; ask whoever trained the model"

LAYOUTS: Final[dict[LayoutName, Layout]] = {
    "course": Layout(
        description="{} of the course AI for Medical Diagnosis",
        findings=_COURSE_FINDINGS,
        pixels=Preprocessing(
            size=320, channels=3, resize="nearest", factor=1.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
        ),
        statistics=True,
        final_relu=True,
        threshold=0.5,
        provenance="Trained on ChestX-ray14 by the course AI for Medical Diagnosis (DeepLearning.AI)",
        licence="the course's terms; not stated for the weights",
    ),
    "chexnet-keras": Layout(
        description="{} of CheXNet-Keras",
        findings=FINDINGS,
        pixels=Preprocessing(size=224, channels=3, resize="linear", **_IMAGENET),
        statistics=False,
        # Written by Keras 2.1.4, whose DenseNet ends with its last batch norm.
        final_relu=False,
        threshold=0.5,
        provenance="Trained on ChestX-ray14 with CheXNet-Keras (github.com/brucechou1983/CheXNet-Keras)",
        licence=_UNKNOWN_LICENCE,
    ),
    "torchxrayvision": Layout(
        description="{} of TorchXRayVision",
        findings=_TORCHXRAYVISION_FINDINGS,
        pixels=Preprocessing(
            size=224,
            channels=1,
            resize="gaussian",
            factor=1.0,
            # (2 x / 255 - 1) * 1024
            mean=(127.5,),
            std=(127.5 / 1024,),
            center_crop=True,
        ),
        statistics=False,
        final_relu=True,
        threshold=0.5,
        provenance="Trained with TorchXRayVision (Cohen et al., MIDL 2022; github.com/mlmed/torchxrayvision)",
        licence="Apache-2.0 for the library; the data sets it was trained on have terms of their own",
        # Every file has 18 outputs; most were trained for fewer findings.
        some_untrained=True,
    ),
    "torchvision": Layout(
        description="{} of torchvision",
        findings=None,
        pixels=Preprocessing(size=224, channels=3, resize="bilinear", **_IMAGENET),
        statistics=False,
        final_relu=True,
        threshold=0.5,
        provenance="A network of torchvision's layout",
        licence=_UNKNOWN_LICENCE,
    ),
    "keras": Layout(
        description="{} with weights of its owner's",
        findings=None,
        pixels=None,
        statistics=True,
        final_relu=True,
        threshold=0.5,
        provenance="A network of Keras' layout",
        licence=_UNKNOWN_LICENCE,
    ),
}
