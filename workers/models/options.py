"""What the owner of a weights file says about it, where neither the file nor its layout does."""

from collections.abc import Callable
from dataclasses import dataclass

from config.cards.card import Views
from config.cards.classification import Preprocessing
from config.errors import ConfigError
from config.films import Recipe
from workers.inference.statistics import Statistics
from workers.models.home import HomeScores
from workers.models.layouts import Layout, LayoutName, Resize


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the owner says about a weights file; None is what the layout, or the file itself, says.

    `findings`: in the order of the outputs, "" for one that is to be dropped. `thresholds`: one for all or
    one per finding. `mean` and `std`: one for all channels or one per channel, in units of `value * factor`;
    instead of them `sample`, which computes them from the training images, resized as the card says.
    `weights_key`: which of a file's networks, see `trees.find_network`. `expect`: gives scores from home for
    the findings.
    """

    layout: LayoutName
    name: str | None = None
    findings: tuple[str, ...] | None = None
    thresholds: tuple[float, ...] | None = None
    size: int | None = None
    resize: Resize | None = None
    center_crop: bool | None = None
    resize_first: int | tuple[int, ...] | None = None
    ten_crops: bool | None = None
    standardize: bool | None = None
    greyscale: Recipe | None = None
    factor: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    final_relu: bool | None = None
    sample: Callable[[Preprocessing], Statistics] | None = None
    weights_key: str | None = None
    views: Views | None = None
    expect: Callable[[tuple[str, ...]], HomeScores] | None = None
    description: str | None = None
    provenance: str | None = None
    licence: str | None = None


def require_options(layout: Layout, options: ImportOptions) -> None:
    """Raise ConfigError where an option is missing that no file can replace."""
    what = f"--layout {options.layout}"
    if options.standardize and (options.mean, options.std, options.sample) != (None, None, None):
        raise ConfigError(
            "--standardize takes each image's own mean and std; leave --mean and --std or --manifest away"
        )
    if (options.mean is None) != (options.std is None):
        raise ConfigError("--mean and --std belong together")
    if options.sample is not None and options.mean is not None:
        raise ConfigError("give either --mean and --std or --manifest and --images, not both")
    needed = []
    if layout.pixels is None and (options.size is None or options.resize is None):
        needed.append("--size and --resize, which the file does not say")
    if layout.statistics and options.sample is None and options.mean is None and not options.standardize:
        needed.append(
            "--manifest and --images of the training images, for their mean and std, or --mean and --std"
        )
    if needed:
        raise ConfigError(f"{what} needs {'; and '.join(needed)}")
    if not layout.statistics and options.sample is not None:
        raise ConfigError(f"{what} has mean and std of its own; leave --manifest and --images away")
