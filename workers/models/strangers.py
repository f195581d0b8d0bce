"""Name networks that cannot be read by the keys of their arrays."""

import re
from collections.abc import Sequence
from typing import Final

_DENSE_LAYER: Final = re.compile(r"(?:.*\.)?(?:denseblock)?(\d+)\.denselayer(\d+)\..*")
_DENSENETS: Final[dict[tuple[int, ...], str]] = {(6, 12, 64, 48): "a DenseNet-264"}

# By a key that no other family has, most special first.
_FAMILIES: Final = (
    (re.compile(r"relative_position_bias_table"), "a Swin Transformer"),
    (re.compile(r"cls_token|class_token|patch_embed|patch_embeddings|vision_model\.embeddings"), "a ViT"),
    (
        re.compile(r"dwconv\.|layer_scale$|stages\.\d\.blocks\.\d+\.gamma|layers\.\d\.layer_scale_parameter"),
        "a ConvNeXt",
    ),
    (re.compile(r"Mixed_\d[a-z]\."), "an Inception"),
    (re.compile(r"_blocks\.\d+\._|conv_stem\.|features\.\d\.\d\.block\.\d\.fc1\."), "an EfficientNet"),
    (re.compile(r"layer[1-4]\.\d+\.(?:conv|bn)\d\.|encoder\.stages\.\d\.layers\.\d+\.layer\."), "a ResNet"),
    (re.compile(r"features\.\d+\.conv\.\d\.\d\."), "a MobileNet"),
)


def name_stranger(keys: Sequence[str]) -> str | None:
    """Return what network the keys belong to, with its article; None where they show none that is known."""
    blocks: dict[int, int] = {}
    for key in keys:
        if found := _DENSE_LAYER.fullmatch(key):
            block, layer = int(found[1]), int(found[2])
            blocks[block] = max(layer, blocks.get(block, 0))
    if blocks:
        return _DENSENETS.get(tuple(count for _, count in sorted(blocks.items())))
    return next((name for pattern, name in _FAMILIES if any(map(pattern.search, keys))), None)
