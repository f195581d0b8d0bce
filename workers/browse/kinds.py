"""The pages of each kind of answer, by the kind on the model's card."""

from typing import Final

from workers.browse.classification import ImagePages
from workers.browse.pages import Pages
from workers.browse.segmentation import CasePages

PAGES: Final[dict[str, type[Pages]]] = {
    "classification": ImagePages,
    "segmentation": CasePages,
    "stub": ImagePages,
}
