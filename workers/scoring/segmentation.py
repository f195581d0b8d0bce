"""The scorer of segmenting networks: from a claimed batch's cases to segments, measures and masks.

A case is read while the one before it is segmented. What is wrong with one of its files fails the case, with
the file named, and no other.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from config.cards.model import Segmenter
from config.cards.segmentation import SegmentationCard
from config.failures import ImageUnusableError, Reason, Stage
from db.ledger import BatchImage, Claim
from db.outcomes import Failed, Outcome
from db.segmentations import Measures, Segment, Segmentation
from jobs.sources.source import ImageSource, kept_source
from jobs.tables.case_files import LABEL
from workers.cases import read_scan
from workers.inference.volumes.engine import make_volume_engine
from workers.inference.volumes.prepare import Box
from workers.inference.volumes.scan import Scan
from workers.inference.volumes.volume import Labels, Volume, labels_of, read_volume, valued
from workers.inference.volumes.window import Probabilities, VolumeEngine, label_map, segment_volume
from workers.metrics.segmentation import compare_masks, extent, spacing_of
from workers.outputs.masks import Masks
from workers.outputs.planes import Planes
from workers.scoring.scorer import ScorerOptions

NO_LABEL: Final = "no_label"
"""Why a segment has no measures: its case has no label."""


@dataclass(frozen=True, slots=True)
class _Case:
    image: BatchImage
    volume: Volume
    labels: Labels | None
    tag: str


class SegmentationScorer:
    """Segments cases of volumes with a network."""

    def __init__(
        self, card: SegmentationCard, engine: VolumeEngine, *, outputs: Path, max_voxels: int
    ) -> None:
        """Take an engine that is ready; masks and pictures are written below `outputs`.

        `max_voxels`: of one channel, a larger one is refused.
        """
        self.card = card
        self.engine = engine.name
        self._engine = engine
        self._masks = Masks(outputs)
        self._planes = Planes(outputs)
        self._max_voxels = max_voxels
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="volumes")

    @classmethod
    def load(cls, model: Segmenter, options: ScorerOptions) -> Self:
        """Make the scorer of a model; ConfigError if the model is not what its card says."""
        engine = make_volume_engine(options.engine, model, threads=options.threads, graphs=options.graphs)
        return cls(model.card, engine, outputs=options.overlays, max_voxels=options.max_pixels)

    def score(self, held: Claim) -> list[Outcome]:
        """Return one outcome for each of the claimed cases.

        Raises SourceError, SourceAwayError or OutputAwayError where the source or the disk of the masks, not
        a case, is at fault.
        """
        self._masks.require()
        self._planes.require()
        return [
            case if isinstance(case, Failed) else self._outcome(held, case)
            for case in self._read_ahead(kept_source(held.root), held)
        ]

    def _read_ahead(self, source: ImageSource, held: Claim) -> Iterator[_Case | Failed]:
        waiting = None
        for image in held.images:
            started = self._reader.submit(self._read, source, image)
            if waiting is not None:
                yield waiting.result()
            waiting = started
        if waiting is not None:
            yield waiting.result()

    def _read(self, source: ImageSource, image: BatchImage) -> _Case | Failed:
        tags: list[str] = []

        def scan(what: str, name: str) -> Scan:
            try:
                return read_scan(source, name, self._max_voxels, tags)
            except ImageUnusableError as error:
                if not image.files:
                    raise
                raise ImageUnusableError(error.reason, f"{what}: {error.message}") from None

        try:
            volume = read_volume(image.image_index, image.files, self.card.channels, scan)
            label = image.files.get(LABEL)
            labels = None
            if label is not None:
                labels = labels_of(scan(LABEL, label), volume, self.card.classes, self.card.values)
        except ImageUnusableError as error:
            return Failed(image.image_id, Stage.READ, error.reason, error.message, " ".join(tags) or None)
        except MemoryError:
            message = "reading it needs more memory than there is"
            return Failed(image.image_id, Stage.READ, Reason.TOO_LARGE, message, " ".join(tags) or None)
        return _Case(image, volume, labels, " ".join(tags))

    def _outcome(self, held: Claim, case: _Case) -> Outcome:
        volume, image = case.volume, case.image
        try:
            within, box = segment_volume(volume.values, self.card, self._engine)
        except FloatingPointError as error:
            return Failed(image.image_id, Stage.SCORE, Reason.NOT_FINITE, str(error), case.tag)
        labels = np.zeros(volume.shape, dtype=np.uint8)
        labels[box] = label_map(within, self.card.threshold)
        x, y, z = volume.shape
        return Segmentation(
            image.image_id,
            (x, y, z),
            spacing_of(volume.affine),
            case.labels is not None,
            self._masks.write(
                held.run_id, image.image_index, valued(labels, self.card.values), volume.affine
            ),
            self._planes.write(held.run_id, image.image_index, volume, labels, case.labels),
            tuple(self._segments(case, labels, within, box)),
            tag=case.tag,
        )

    def _segments(self, case: _Case, labels: Labels, within: Probabilities, box: Box) -> Iterator[Segment]:
        """Measure each class and region; soft Dice and the largest probability are of classes alone."""
        for index, (finding, values) in enumerate(self.card.labels.items()):
            mask = np.isin(labels, values)
            of_class = index < len(self.card.classes)
            probabilities = within[index] if of_class else None
            found = extent(mask, case.volume.affine)
            reference = None if case.labels is None else np.isin(case.labels, values)
            yield Segment(
                finding,
                "class" if of_class else "region",
                found.voxels,
                found.components,
                found.ml,
                found.largest_ml,
                found.box,
                found.centroid_mm,
                None if probabilities is None else float(probabilities.max()),
                None if reference is None else int(np.count_nonzero(reference)),
                _measures(mask, reference, case.volume, _whole(probabilities, box, mask.shape)),
            )


def _measures(
    mask: NDArray[np.bool_],
    reference: NDArray[np.bool_] | None,
    volume: Volume,
    probabilities: NDArray[np.float32] | None,
) -> Measures:
    if reference is None:
        return Measures(reason=NO_LABEL)
    agreement = compare_masks(reference, mask, spacing_of(volume.affine), probabilities)
    return Measures(
        agreement.dice,
        agreement.soft_dice,
        agreement.sensitivity,
        agreement.specificity,
        agreement.hd95_mm,
        agreement.assd_mm,
        agreement.undefined,
    )


def _whole(
    probabilities: NDArray[np.float32] | None, box: Box, shape: tuple[int, ...]
) -> NDArray[np.float32] | None:
    """Return a class's probabilities of the whole volume, 0 outside of the brain."""
    if probabilities is None:
        return None
    whole = np.zeros(shape, dtype=np.float32)
    whole[box] = probabilities
    return whole
