"""The DenseNets there are, by the numbers that tell them apart; nothing here loads TensorFlow."""

from dataclasses import dataclass
from typing import Final

_BOTTLENECK: Final = 4
_LAYERS_PER_STAGE: Final = 2


@dataclass(frozen=True, slots=True)
class Depth:
    """A DenseNet of Huang et al., CVPR 2017, table 1.

    `blocks`: the dense layers of the four stages. `growth`: channels that each of them adds. `stem`: channels
    of the first convolution.
    """

    blocks: tuple[int, ...]
    growth: int = 32
    stem: int = 64

    @property
    def name(self) -> str:
        """What people call it: by its layers, two of each dense layer and five between, before and after."""
        return f"DenseNet-{_LAYERS_PER_STAGE * sum(self.blocks) + len(self.blocks) + 1}"

    @property
    def convolutions(self) -> int:
        """The number of its convolutions: all its layers without the head."""
        return _LAYERS_PER_STAGE * sum(self.blocks) + len(self.blocks)

    @property
    def bottleneck(self) -> int:
        """Channels between the two convolutions of a dense layer."""
        return _BOTTLENECK * self.growth

    @property
    def features(self) -> int:
        """Channels that the head gets; half of them pass from stage to stage."""
        width = self.stem
        for stage, layers in enumerate(self.blocks):
            width = (width // 2 if stage else width) + layers * self.growth
        return width


DEPTHS: Final = {
    "densenet121": Depth((6, 12, 24, 16)),
    "densenet161": Depth((6, 12, 36, 24), growth=48, stem=96),
    "densenet169": Depth((6, 12, 32, 32)),
    "densenet201": Depth((6, 12, 48, 32)),
}
"""By a card's `architecture`."""


def nearest_to(convolutions: int) -> str:
    """Return the architecture whose number of convolutions is, or comes nearest to, this one."""
    return min(DEPTHS, key=lambda architecture: abs(DEPTHS[architecture].convolutions - convolutions))


NAMES: Final = ", ".join(depth.name for depth in DEPTHS.values())
"""For people."""
