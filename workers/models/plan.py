"""A DenseNet layer by layer, before its head: what Keras and PyTorch call each, and the shape it has."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from workers.inference.networks.depths import Depth

KERNEL_AXES: Final = 4
"""Of a convolution."""


class PlannedLayer(NamedTuple):
    """A convolution, whose shape is that of its kernel (height, width, in, out), or a batch norm (width,)."""

    keras: str
    torch: str
    shape: tuple[int, ...]


def plan(depth: Depth, channels: int) -> Iterator[PlannedLayer]:
    """Return the layers in the network's order, which is that of Keras' variables."""
    width = depth.stem
    yield PlannedLayer("conv1_conv", "features.conv0", (7, 7, channels, width))
    yield PlannedLayer("conv1_bn", "features.norm0", (width,))
    for stage, layers in enumerate(depth.blocks, start=1):
        for layer in range(1, layers + 1):
            keras = f"conv{stage + 1}_block{layer}"
            torch = f"features.denseblock{stage}.denselayer{layer}"
            yield PlannedLayer(f"{keras}_0_bn", f"{torch}.norm1", (width,))
            yield PlannedLayer(f"{keras}_1_conv", f"{torch}.conv1", (1, 1, width, depth.bottleneck))
            yield PlannedLayer(f"{keras}_1_bn", f"{torch}.norm2", (depth.bottleneck,))
            yield PlannedLayer(f"{keras}_2_conv", f"{torch}.conv2", (3, 3, depth.bottleneck, depth.growth))
            width += depth.growth
        if stage < len(depth.blocks):
            keras, torch = f"pool{stage + 1}", f"features.transition{stage}"
            yield PlannedLayer(f"{keras}_bn", f"{torch}.norm", (width,))
            yield PlannedLayer(f"{keras}_conv", f"{torch}.conv", (1, 1, width, width // 2))
            width //= 2
    yield PlannedLayer("bn", "features.norm5", (width,))
