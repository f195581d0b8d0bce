"""AUROCs that others have published for the 14 findings, to compare one's own with.

They come from other test sets, and mostly from different splits: a measure of what to expect, not a test.
Wang, Yao and CheXNet as tabulated in arnoweng/CheXNet's README; CheXNeXt and the
radiologists from table 1 of Rajpurkar et al. 2018, with 95% intervals of 10,000 bootstraps.
"""

from typing import Final, NamedTuple


class Published(NamedTuple):
    """One published AUROC; without an interval where its authors give none."""

    source: str
    finding: str
    auroc: float
    ci_low: float | None
    ci_high: float | None
    citation: str


_CITATIONS: Final = {
    "Wang 2017": "Wang et al., ChestX-ray8, CVPR 2017",
    "Yao 2017": "Yao et al., Learning to diagnose from scratch, arXiv:1710.10501, 2017",
    "CheXNet 2017": "Rajpurkar et al., CheXNet, arXiv:1711.05225, 2017",
    "CheXNeXt 2018": "Rajpurkar et al., PLoS Medicine 15(11) e1002686, 2018, table 1: 420 images",
    "radiologists 2018": "Rajpurkar et al., PLoS Medicine 15(11) e1002686, 2018, table 1: nine "
    "radiologists on 420 images",
    "course": "AI for Medical Diagnosis (Coursera), week 1: its model on its 420 test images",
}

_AUROCS: Final = {  # Wang, Yao, CheXNet, the course
    "Atelectasis": (0.716, 0.772, 0.8094, 0.786),
    "Cardiomegaly": (0.807, 0.904, 0.9248, 0.896),
    "Consolidation": (0.708, 0.788, 0.7901, 0.751),
    "Edema": (0.835, 0.882, 0.8878, 0.856),
    "Effusion": (0.784, 0.859, 0.8638, 0.762),
    "Emphysema": (0.815, 0.829, 0.9371, 0.797),
    "Fibrosis": (0.769, 0.767, 0.8047, 0.729),
    "Hernia": (0.767, 0.914, 0.9164, 0.774),
    "Infiltration": (0.609, 0.695, 0.7345, 0.652),
    "Mass": (0.706, 0.792, 0.8676, 0.819),
    "Nodule": (0.671, 0.717, 0.7802, 0.656),
    "Pleural_Thickening": (0.708, 0.765, 0.8062, 0.711),
    "Pneumonia": (0.633, 0.713, 0.7680, 0.677),
    "Pneumothorax": (0.806, 0.841, 0.8887, 0.801),
}

_WITH_INTERVALS: Final = {  # CheXNeXt, radiologists
    "Atelectasis": ((0.862, 0.825, 0.895), (0.808, 0.777, 0.838)),
    "Cardiomegaly": ((0.831, 0.790, 0.870), (0.888, 0.863, 0.910)),
    "Consolidation": ((0.893, 0.859, 0.924), (0.841, 0.815, 0.870)),
    "Edema": ((0.924, 0.886, 0.955), (0.910, 0.886, 0.930)),
    "Effusion": ((0.901, 0.868, 0.930), (0.900, 0.876, 0.921)),
    "Emphysema": ((0.704, 0.567, 0.833), (0.911, 0.866, 0.947)),
    "Fibrosis": ((0.806, 0.719, 0.884), (0.897, 0.840, 0.936)),
    "Hernia": ((0.851, 0.785, 0.909), (0.985, 0.974, 0.991)),
    "Infiltration": ((0.721, 0.651, 0.786), (0.734, 0.688, 0.779)),
    "Mass": ((0.909, 0.864, 0.948), (0.886, 0.856, 0.913)),
    "Nodule": ((0.894, 0.853, 0.930), (0.899, 0.869, 0.924)),
    "Pleural_Thickening": ((0.798, 0.744, 0.849), (0.779, 0.740, 0.809)),
    "Pneumonia": ((0.851, 0.781, 0.911), (0.823, 0.779, 0.856)),
    "Pneumothorax": ((0.944, 0.915, 0.969), (0.940, 0.912, 0.962)),
}

PUBLISHED: Final = (
    *(
        Published(source, finding, auroc, None, None, _CITATIONS[source])
        for finding, aurocs in _AUROCS.items()
        for source, auroc in zip(("Wang 2017", "Yao 2017", "CheXNet 2017", "course"), aurocs, strict=True)
    ),
    *(
        Published(source, finding, *figures, _CITATIONS[source])
        for finding, rows in _WITH_INTERVALS.items()
        for source, figures in zip(("CheXNeXt 2018", "radiologists 2018"), rows, strict=True)
    ),
)
