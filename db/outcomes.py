"""How an image ends in a run: failed, or with an answer that knows its own tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

from sqlalchemy import Connection, insert

from config.failures import Reason, Stage
from db.schema.runs import image_result
from db.states import ImageStatus


class BatchKeys(NamedTuple):
    """What the rows of a batch's outcomes refer to; `findings` maps the names in answers to their ids."""

    run_id: int
    batch_id: int
    findings: Mapping[str, int]


class Outcome(Protocol):
    """How one image of a batch ended; every outcome but `Failed` is an answer."""

    @property
    def image_id(self) -> int:
        """The image."""

    @classmethod
    def write(cls, connection: Connection, keys: BatchKeys, outcomes: Sequence[Self]) -> None:
        """Write the rows of a batch's outcomes of this kind, one row of `image_result` each among them."""


@dataclass(frozen=True, slots=True)
class Failed:
    """An image that cannot be scored, and why."""

    image_id: int
    stage: Stage
    reason: Reason
    message: str
    tag: str | None = None
    """Of the bytes that were read; None where none were."""

    @classmethod
    def write(cls, connection: Connection, keys: BatchKeys, outcomes: Sequence[Self]) -> None:
        """Write the images that cannot be scored."""
        connection.execute(
            insert(image_result),
            [
                {
                    "run_id": keys.run_id,
                    "image_id": failure.image_id,
                    "batch_id": keys.batch_id,
                    "status": ImageStatus.FAILED,
                    "stage": failure.stage,
                    "reason": failure.reason,
                    "message": failure.message,
                    "tag": failure.tag,
                }
                for failure in outcomes
            ],
        )
