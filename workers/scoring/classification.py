"""The scorer of classifying networks: from a claimed batch's images to scores, maps and overlays.

Images are read and decoded, and overlays drawn, in threads while the network computes; an image that cannot
be read becomes a failure with its reason and does not affect the others.
"""

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from config.cache import Cache
from config.cards.classification import ClassificationCard
from config.cards.model import Classifier
from config.failures import ImageUnusableError, Reason, Stage
from db.classifications import Classification, FindingScore
from db.ledger import BatchImage, Claim
from db.outcomes import Failed, Outcome
from jobs.sources.source import ImageSource, kept_source
from workers.inference.ensemble import Answers, Ensemble, Views
from workers.inference.formats.decode import most_bytes
from workers.inference.gate import Gate
from workers.inference.peak import locate
from workers.inference.pixels import scaled_views
from workers.inference.prepared import Prepared
from workers.inference.region import visible_region
from workers.outputs.drawing import Drawing
from workers.outputs.output import OUTPUTS, Output
from workers.prepared.pictures import Preparation, PreparedPictures, Reading
from workers.read_ahead import ReadAhead
from workers.scoring.scorer import ScorerOptions

log = logging.getLogger(__name__)

_GROUPS_BEHIND: Final = 2
"""The number of calls whose pictures may wait for their overlays: a slow disk must not fill the memory."""

_MOST_READERS: Final = 64
"""Threads that read; only as many as the source asks for are started."""


@dataclass(frozen=True, slots=True)
class _Decoded:
    image: BatchImage
    tag: str
    kept: bool
    prepared: Prepared
    views: Views


class ClassificationScorer:
    """Scores real pictures with a network, or with several."""

    def __init__(
        self,
        card: ClassificationCard,
        networks: Ensemble,
        *,
        overlays: Output,
        max_pixels: int,
        gate: Gate | None = None,
        cache: Cache | None = None,
        threads: int = 2,
    ) -> None:
        """Take networks that are ready; `threads` decode pictures ahead of them, and draw behind them."""
        self.card = card
        self._networks = networks
        self.engine = networks.name
        self._overlays = overlays
        self._max_pixels = max_pixels
        self._gate = gate
        self._cache = cache
        self._refuses = card.gate is not None and card.gate.policy == "refuse"
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="pictures")
        self._readers = ThreadPoolExecutor(_MOST_READERS, thread_name_prefix="readers")

    @classmethod
    def load(cls, model: Classifier, options: ScorerOptions) -> Self:
        """Load a network into this process; ConfigError if it is not what its card says."""
        # OpenCV's own threads spin while they wait, on cores that the other children need.
        cv2.setNumThreads(1)
        return cls(
            model.card,
            Ensemble.load(model, options.engine, threads=options.threads, graphs=options.graphs),
            overlays=OUTPUTS["overlays"](options.overlays),
            max_pixels=options.max_pixels,
            gate=Gate.load(model),
            cache=options.cache,
            # A GPU's child has cores to itself, and needs them to read pictures as fast as it scores them.
            threads=max(2, options.threads),
        )

    def score(self, held: Claim) -> list[Outcome]:
        """Return one outcome for each of the claimed images, in any order.

        Raises SourceError, SourceAwayError or OutputAwayError where the source or the disk of the overlays,
        not an image, is at fault.
        """
        self._overlays.require()
        outcomes: list[Outcome] = []
        waiting: list[_Decoded] = []
        behind: deque[Future[list[Outcome]]] = deque()
        kept = 0
        for decoded in self._decode(kept_source(held.root), held):
            if isinstance(decoded, Failed):
                outcomes.append(decoded)
                continue
            kept += decoded.kept
            waiting.append(decoded)
            if len(waiting) == self._networks.batch:
                behind.append(self._infer(held, waiting))
                waiting = []
                if len(behind) > _GROUPS_BEHIND:
                    outcomes += behind.popleft().result()
        if waiting:
            behind.append(self._infer(held, waiting))
        for group in behind:
            outcomes += group.result()
        if self._cache:
            log.info(
                "run %d, batch %d/%d: prepared pixels of %d of %d images were kept",
                *(held.run_id, held.number, held.batches, kept, len(held.images)),
            )
        return outcomes

    def _decode(self, source: ImageSource, held: Claim) -> Iterator[_Decoded | Failed]:
        names = (image.image_index for image in held.images)
        wanted = Preparation(
            self._networks.preprocessings,
            self._max_pixels,
            held.bits,
            sight=self._gate is not None,
            backdrop=held.heatmaps != "none",
        )
        pictures = PreparedPictures(source, wanted, self._cache)
        reads = ReadAhead(self._readers, pictures, names, most_bytes(self._max_pixels))

        def decode(image: BatchImage, read: Future[Reading]) -> _Decoded | Failed:
            tag = None
            try:
                reading = read.result()
                tag = reading.tag
                try:
                    prepared = pictures.prepare(image.image_index, reading)
                finally:
                    reads.free(reading)
                views = tuple(
                    scaled_views(part.views, pixels)
                    for part, pixels in zip(prepared, self._networks.preprocessings, strict=True)
                )
                # Of several, the first is what maps lie on and the gate looks at.
                return _Decoded(image, tag, bool(reading.kept), prepared[0], views)
            except ImageUnusableError as error:
                return Failed(image.image_id, Stage.READ, error.reason, error.message, tag)
            except MemoryError:
                message = "decoding it needs more memory than there is"
                return Failed(image.image_id, Stage.READ, Reason.TOO_LARGE, message, tag)

        # No more pictures wait than the next call needs: one may have 64 million pixels.
        pending: deque[Future[_Decoded | Failed]] = deque()
        try:
            for image, read in zip(held.images, reads, strict=True):
                pending.append(self._pool.submit(decode, image, read))
                if len(pending) > 2 * self._networks.batch:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for decoded in pending:
                decoded.cancel()

    def _infer(self, held: Claim, group: Sequence[_Decoded]) -> "Future[list[Outcome]]":
        """Run the network; peaks are located and overlays drawn while the next call computes."""
        answers = self._networks.infer(
            [decoded.views for decoded in group],
            [(decoded.prepared.extent.width, decoded.prepared.extent.height) for decoded in group],
        )
        return self._pool.submit(self._outcomes, held, group, answers)

    def _outcomes(self, held: Claim, group: Sequence[_Decoded], answers: Answers) -> list[Outcome]:
        spreads = [None] * len(group) if answers.spread is None else answers.spread
        each = zip(group, answers.probabilities, spreads, answers.maps, answers.features, strict=True)
        return [self._outcome(held, *answer) for answer in each]

    def _outcome(
        self,
        held: Claim,
        decoded: _Decoded,
        probabilities: NDArray[np.float32],
        spread: NDArray[np.float32] | None,
        maps: NDArray[np.float32],
        features: NDArray[np.float32],
    ) -> Outcome:
        image_id, prepared = decoded.image.image_id, decoded.prepared
        extent = prepared.extent
        if not (np.isfinite(probabilities).all() and np.isfinite(maps).all()):
            message = "the network gave a score that is no number"
            return Failed(image_id, Stage.SCORE, Reason.NOT_FINITE, message, decoded.tag)
        quality = self._gate.judge(prepared.sight, features) if self._gate and prepared.sight else None
        if quality and quality.flag and self._refuses:
            message = f"{quality.flag}: it is not like the pictures that the model's gate was fitted on"
            return Failed(image_id, Stage.SCORE, Reason.UNLIKE, message, decoded.tag)
        spreads = [None] * len(probabilities) if spread is None else spread.tolist()
        found = [
            FindingScore(finding, probability, spread=apart)
            for finding, probability, apart in zip(
                self.card.findings, probabilities.tolist(), spreads, strict=True
            )
        ]
        backdrop = prepared.backdrop
        if held.heatmaps == "none" or backdrop is None:
            return Classification(
                image_id,
                extent.width,
                extent.height,
                tuple(found),
                film=prepared.film,
                quality=quality,
                tag=decoded.tag,
            )
        region = visible_region(self.card.pixels, extent.width, extent.height)
        scores = tuple(
            self._located(
                Drawing(
                    held.run_id, decoded.image.image_index, score.finding, backdrop, maps[:, :, index], region
                ),
                score,
                shown=held.heatmaps == "all" or score.probability >= self.card.thresholds[index],
            )
            for index, score in enumerate(found)
        )
        return Classification(
            image_id,
            extent.width,
            extent.height,
            scores,
            maps=maps.astype("<f2").tobytes(),
            map_shape=(maps.shape[0], maps.shape[1]),
            film=prepared.film,
            quality=quality,
            tag=decoded.tag,
        )

    def _located(self, drawing: Drawing, score: FindingScore, *, shown: bool) -> FindingScore:
        """Add where the map points, and write its overlay where one is wanted."""
        peak = locate(drawing.map, drawing.region)
        if peak is None:
            return score
        overlay = self._overlays.write(drawing) if shown else None
        return replace(score, peak=peak.point, box=peak.box, overlay_path=overlay)
