"""The states that a ledger's rows go through, by their words in the tables and views."""

from enum import StrEnum
from typing import Final


class RunStatus(StrEnum):
    """How far a run is; the column `run.status`."""

    RUNNING = "running"
    """Batches are announced and scored."""

    EVALUATING = "evaluating"
    """Every image has its outcome; the closing evaluation is due or at work."""

    COMPLETE = "complete"
    """The closing evaluation is written."""

    FAILED = "failed"
    """None of its images could be scored: there is nothing to evaluate; its failures can be retried."""

    CANCELLED = "cancelled"
    """Its owner stopped it; it can be resumed."""

    BROKEN = "broken"
    """An outcome is missing or the evaluation was given up; `run.message` says which."""

    DELETING = "deleting"
    """Its rows are being deleted: no view shows them, and whoever reconciles next goes on with it."""

    DELETED = "deleted"
    """Its rows are gone. It stays as a record, for its number is given once, and others may name it."""

    @property
    def settled(self) -> bool:
        """Whether nothing more happens to the run by itself."""
        return self not in {RunStatus.RUNNING, RunStatus.EVALUATING}


GONE: Final = (RunStatus.DELETING, RunStatus.DELETED)
"""States of the runs that have nothing to show any more."""


class BatchState(StrEnum):
    """How far a batch is; the column `batch.state`."""

    PENDING = "pending"
    """It waits to be announced."""

    QUEUED = "queued"
    """Its message was sent to the broker, and no worker has claimed it yet."""

    RUNNING = "running"
    """A worker holds its lease."""

    DONE = "done"
    """Each of its images has an outcome."""

    SPLIT = "split"
    """It was tried too often; batches of one image each replace it."""


OPEN_BATCHES: Final = (BatchState.PENDING, BatchState.QUEUED, BatchState.RUNNING)
"""States of the batches that a run still waits for."""

CLAIMABLE_BATCHES: Final = (BatchState.PENDING, BatchState.QUEUED)
"""States in which a worker may take a batch's lease; `pending` where an older message was late."""


class ImageStatus(StrEnum):
    """How an image ended in a run; the column `image_result.status`."""

    SCORED = "scored"
    """It has a score for each finding of the model."""

    FAILED = "failed"
    """It cannot be scored; `image_result.reason` says why."""


class EvaluationState(StrEnum):
    """How far an evaluation is; the column `evaluation.state`."""

    DUE = "due"
    """It waits to be announced."""

    QUEUED = "queued"
    """Its message was sent to the broker, and no worker has claimed it yet."""

    RUNNING = "running"
    """A worker holds its lease."""

    DONE = "done"
    """Its figures are written."""

    FAILED = "failed"
    """It was tried too often and given up; `evaluation.message` says so."""

    @property
    def settled(self) -> bool:
        """Whether nothing more happens to the evaluation."""
        return self in {EvaluationState.DONE, EvaluationState.FAILED}


CLAIMABLE_EVALUATIONS: Final = (EvaluationState.DUE, EvaluationState.QUEUED)
"""States in which a worker may take an evaluation's lease."""

OPEN_EVALUATIONS: Final = (*CLAIMABLE_EVALUATIONS, EvaluationState.RUNNING)
"""States of the evaluations whose figures are still to come."""


class DueState(StrEnum):
    """How a schedule's due time ended; the column `schedule_due.state`."""

    DUE = "due"
    """It is noted and not acted on yet."""

    BEGUN = "begun"
    """Its run or its evaluation was made."""

    NOTHING_NEW = "nothing_new"
    """There was no image that the schedule's last run had not scored, by the same manifest and model."""

    FAILED = "failed"
    """Neither run nor evaluation could be made; `schedule_due.message` says why."""


class SendingState(StrEnum):
    """How far the sending of a run's results is; the column `sending.state`."""

    DUE = "due"
    """It waits for its run to be complete, for what `sending.waits_for` says, or to be announced."""

    QUEUED = "queued"
    """Its message was sent to the broker, and no worker has claimed it yet."""

    RUNNING = "running"
    """A worker holds its lease."""

    DONE = "done"
    """Of each object the ledger of deliveries says whether the receiver has it, or why not."""

    FAILED = "failed"
    """It was given up; `sending.message` says why."""

    CANCELLED = "cancelled"
    """A person stopped it."""

    @property
    def settled(self) -> bool:
        """Whether nothing more happens to the sending by itself."""
        return self in {SendingState.DONE, SendingState.FAILED, SendingState.CANCELLED}


CLAIMABLE_SENDINGS: Final = (SendingState.DUE, SendingState.QUEUED)
"""States in which a worker may take a sending's lease."""

OPEN_SENDINGS: Final = (*CLAIMABLE_SENDINGS, SendingState.RUNNING)
"""States of the sendings that go on by themselves."""


class DeliveryState(StrEnum):
    """How far an object is on its way to a receiver; the column `delivery.state`."""

    PENDING = "pending"
    """It waits to be sent, or to be sent again."""

    SENT = "sent"
    """The receiver has it."""

    REFUSED = "refused"
    """The receiver does not take it; `delivery.status` says why."""

    UNUSABLE = "unusable"
    """There is no such object: its image is no DICOM file, or unreadable; `delivery.status` says which."""
