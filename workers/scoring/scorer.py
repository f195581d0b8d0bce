"""The scoring pipeline: from a claimed batch's images to their outcomes, one outcome an image.

Pictures are decoded, and overlays drawn, in threads while the network computes; a picture that cannot be
read becomes a failure with its reason and costs the others nothing.
"""

import hashlib
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from config.cards.card import Model, ModelCard
from db.ledger import BatchImage, Claim
from db.outcomes import Failed, FindingScore, Outcome, Scored
from workers.inference.engine import Engine, EngineKind, Inferred, make_engine
from workers.inference.formats.decode import ImageUnusableError, Picture, read_picture
from workers.inference.peak import locate
from workers.inference.pixels import Region, prepare, visible_region
from workers.outputs import overlays

log = logging.getLogger(__name__)

_GROUPS_BEHIND: Final = 2
"""So many calls' pictures may wait for their overlays: a slow disk must not fill the memory."""


class Scorer(Protocol):
    """What a worker's child holds: one model, ready to score batches."""

    card: ModelCard
    engine: str

    def score(self, held: Claim) -> list[Outcome]:
        """Give one outcome for each of the claimed images."""


def make_scorer(
    model: Model, *, engine: EngineKind, threads: int, overlay_dir: Path, max_pixels: int
) -> Scorer:
    """Load a model into this process; ConfigError if it is not what its card says."""
    if model.card.architecture == "stub":
        return StubScorer(model.card)
    # OpenCV's own threads spin while they wait, on cores that the other children need.
    cv2.setNumThreads(1)
    return NetworkScorer(
        model.card,
        make_engine(engine, model, threads=threads),
        overlay_dir=overlay_dir,
        max_pixels=max_pixels,
        # A GPU's child has cores to itself, and needs them to read pictures as fast as it scores them.
        threads=max(2, threads),
    )


@dataclass(frozen=True, slots=True)
class _Decoded:
    image: BatchImage
    picture: Picture
    prepared: NDArray[np.float32]


class NetworkScorer:
    """Scores real pictures with a network."""

    def __init__(
        self, card: ModelCard, engine: Engine, *, overlay_dir: Path, max_pixels: int, threads: int = 2
    ) -> None:
        """Take an engine that is ready; `threads` read pictures ahead of it and draw overlays behind it."""
        self.card = card
        self._engine = engine
        self.engine = engine.name
        self._overlay_dir = overlay_dir
        self._max_pixels = max_pixels
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="pictures")

    def score(self, held: Claim) -> list[Outcome]:
        """Give one outcome for each of the claimed images, in any order."""
        outcomes: list[Outcome] = []
        waiting: list[_Decoded] = []
        behind: deque[Future[list[Outcome]]] = deque()
        for decoded in self._decode(Path(held.root), held.images):
            if isinstance(decoded, Failed):
                outcomes.append(decoded)
                continue
            waiting.append(decoded)
            if len(waiting) == self._engine.batch:
                behind.append(self._infer(held, waiting))
                waiting = []
                if len(behind) > _GROUPS_BEHIND:
                    outcomes += behind.popleft().result()
        if waiting:
            behind.append(self._infer(held, waiting))
        for group in behind:
            outcomes += group.result()
        return outcomes

    def _decode(self, root: Path, images: Sequence[BatchImage]) -> Iterator[_Decoded | Failed]:
        def one(image: BatchImage) -> _Decoded | Failed:
            try:
                picture = read_picture(root, image.image_index, self._max_pixels)
                return _Decoded(image, picture, prepare(picture, self.card.pixels))
            except ImageUnusableError as error:
                return Failed(image.image_id, "read", error.reason, error.message)
            except MemoryError:
                return Failed(
                    image.image_id, "read", "too_large", "decoding it needs more memory than there is"
                )

        # Only so many pictures wait at once that the next call is ready: one may have 64 million pixels.
        pending: deque[Future[_Decoded | Failed]] = deque()
        for image in images:
            pending.append(self._pool.submit(one, image))
            if len(pending) > 2 * self._engine.batch:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

    def _infer(self, held: Claim, group: Sequence[_Decoded]) -> "Future[list[Outcome]]":
        """Run the network; what follows from its answer is found and drawn while the next call computes."""
        inferred = self._engine.infer(np.stack([one.prepared for one in group]))
        return self._pool.submit(self._outcomes, held, group, inferred)

    def _outcomes(self, held: Claim, group: Sequence[_Decoded], inferred: Inferred) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for one, probabilities, maps in zip(group, inferred.probabilities, inferred.maps, strict=True):
            if not (np.isfinite(probabilities).all() and np.isfinite(maps).all()):
                outcomes.append(
                    Failed(
                        one.image.image_id,
                        "score",
                        "not_finite",
                        "the network gave a score that is no number",
                    )
                )
            else:
                outcomes.append(self._outcome(held, one, probabilities, maps))
        return outcomes

    def _outcome(
        self, held: Claim, one: _Decoded, probabilities: NDArray[np.float32], maps: NDArray[np.float32]
    ) -> Scored:
        width, height = one.picture.width, one.picture.height
        if held.heatmaps == "none":
            plain = zip(self.card.findings, probabilities.tolist(), strict=True)
            return Scored(one.image.image_id, width, height, tuple(FindingScore(*pair) for pair in plain))
        scores = []
        seen = visible_region(self.card.pixels, width, height)
        for index, (finding, probability, threshold) in enumerate(
            zip(self.card.findings, probabilities.tolist(), self.card.thresholds, strict=True)
        ):
            focus = locate(maps[:, :, index], seen)
            shown = held.heatmaps == "all" or probability >= threshold
            overlay = (
                self._overlay(held.run_id, one, finding, maps[:, :, index], seen) if focus and shown else None
            )
            scores.append(
                FindingScore(
                    finding,
                    probability,
                    peak=focus.peak if focus else None,
                    box=focus.box if focus else None,
                    overlay_path=overlay,
                )
            )
        return Scored(
            one.image.image_id,
            width,
            height,
            tuple(scores),
            maps=maps.astype("<f2").tobytes(),
            map_shape=(maps.shape[0], maps.shape[1]),
        )

    def _overlay(
        self, run_id: int, one: _Decoded, finding: str, map_: NDArray[np.float32], seen: Region
    ) -> str | None:
        """Write one overlay; its path below the heatmaps' folder, or None if the disk does not take it."""
        path = overlay_path(run_id, one.image.image_index, finding)
        try:
            drawn = overlays.render(one.picture, map_, overlays.STORED_SIDE, seen)
            overlays.write(self._overlay_dir / path, drawn)
        except OSError as error:
            # The scores and the map are kept: `nightread heatmap` can draw it later.
            reason = error.strerror or type(error).__name__  # the path may hold a patient's number
            log.warning("run %d: an overlay was not written: %s", run_id, reason)
            return None
        return path


def overlay_path(run_id: int, image_index: str, finding: str) -> str:
    """Name an overlay below the heatmaps' folder: run, finding, then the image's own path.

    Whatever the image's name is, the overlay stays below the run's folder.
    """
    names = (part for part in PurePosixPath(image_index).parts if part.strip("/"))
    parts = ["__" if part == ".." else part for part in names]
    return str(PurePosixPath(f"run-{run_id:06d}", finding, *parts[:-1], f"{parts[-1]}.jpg"))


class StubScorer:
    """Answers at once with numbers that follow from the image's name: for the queue's tests and benchmarks.

    Another hash of the weights gives other numbers, as other weights would. It stands in for pictures and
    network only; what it answers goes the same way to the database.
    """

    MAP_SHAPE = (10, 10)
    engine = "stub"

    def __init__(self, card: ModelCard) -> None:
        """Take the card with the findings to answer for."""
        self.card = card

    def score(self, held: Claim) -> list[Outcome]:
        """Give one outcome for each of the claimed images."""
        return [self._outcome(held, image) for image in held.images]

    def _outcome(self, held: Claim, image: BatchImage) -> Scored:
        seen = f"{self.card.sha256} {image.image_index}".encode()
        digest = hashlib.shake_128(seen).digest(2 * len(self.card.findings))
        values = np.frombuffer(digest, dtype="<u2").astype(np.float32) / 65536
        maps = held.heatmaps != "none"
        return Scored(
            image.image_id,
            1024,
            1024,
            tuple(
                FindingScore(
                    finding,
                    probability,
                    peak=(512, 512) if maps else None,
                    box=(256, 256, 512, 512) if maps else None,
                )
                for finding, probability in zip(self.card.findings, values.tolist(), strict=True)
            ),
            maps=self._maps() if maps else None,
            map_shape=self.MAP_SHAPE if maps else None,
        )

    def _maps(self) -> bytes:
        return np.ones((*self.MAP_SHAPE, len(self.card.findings)), dtype="<f2").tobytes()
