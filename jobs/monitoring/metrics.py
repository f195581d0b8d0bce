"""The metrics in Prometheus' form: read from ledger and broker when they are asked for, kept nowhere.

No label names a patient, an image, a path or a run: their number would grow with the archive.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version

from prometheus_client.core import CollectorRegistry, CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from config.failures import STAGE_OF
from db.database import Database, DriverError
from db.errors import DatabaseAwayError, DatabaseError
from db.measures import Measures, measure
from jobs.dispatch.broker import Broker, BrokerAwayError, BrokerError


class Metrics(Collector):
    """Asks ledger and broker at each reading; what does not answer is told by `nightread_up`."""

    def __init__(self, database: Database, broker: Broker | None) -> None:
        """Use a database, and a broker where one is configured."""
        self._database = database
        self._broker = broker

    def describe(self) -> Iterator[Metric]:
        """Return nothing: the registry need not ask the database when it is made."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Return all metrics."""
        up = GaugeMetricFamily("nightread_up", "1 where the server answers, else 0.", labels=["server"])
        measures = self._measures()
        up.add_metric(["database"], measures is not None)
        length = None
        if self._broker is not None:
            length = _queue_length(self._broker)
            up.add_metric(["broker"], length is not None)
        yield up
        info = GaugeMetricFamily("nightread_info", "The version that answers; always 1.", labels=["version"])
        info.add_metric([version("nightread")], 1)
        yield info
        if length is not None:
            yield GaugeMetricFamily("nightread_queue_length", "Batches that wait in the broker.", length)
        if measures is not None:
            yield from _of_ledger(measures)

    def _measures(self) -> Measures | None:
        try:
            return measure(self._database, datetime.now(UTC))
        except (DatabaseAwayError, DatabaseError, DriverError):
            return None


def registry(database: Database, broker: Broker | None) -> CollectorRegistry:
    """Make a registry of these metrics alone."""
    made = CollectorRegistry()
    made.register(Metrics(database, broker))
    return made


def _queue_length(broker: Broker) -> int | None:
    try:
        return broker.queue_length()
    except (BrokerAwayError, BrokerError):
        return None


def _of_ledger(measures: Measures) -> Iterator[Metric]:
    yield CounterMetricFamily("nightread_images_scored", "Images that were scored.", measures.scored)
    failed = CounterMetricFamily("nightread_images_failed", "Failures of images.", labels=["stage", "reason"])
    # From the beginning, at 0: of a series that begins with its first failures Prometheus sees no increase.
    none = {(str(stage), str(reason)): 0 for reason, stage in STAGE_OF.items()}
    for labels, count in sorted((none | measures.failed).items()):
        failed.add_metric(labels, count)
    yield failed
    yield _by_state("nightread_runs", "Runs by status.", "status", measures.runs)
    yield _by_state("nightread_batches", "Batches by state.", "state", measures.batches)
    yield CounterMetricFamily(
        "nightread_batch_retries",
        "Attempts that came to nothing: a batch's lease expired, or it failed.",
        measures.retries,
    )
    yield GaugeMetricFamily(
        "nightread_leases_expired", "Leases that expired and are not taken back yet.", measures.overdue
    )
    yield GaugeMetricFamily(
        "nightread_images_per_second", "Images over the last five minutes.", measures.images_per_second
    )
    seconds = CounterMetricFamily(
        "nightread_batch_seconds",
        "Seconds of batches that are done: in the queue, and at work.",
        labels=["stage"],
    )
    for stage, spent in measures.seconds.items():
        seconds.add_metric([stage], max(0.0, spent))  # a clock that is wrong makes it negative
    yield seconds
    for name, documentation, moment in (
        ("oldest_open_run", "When the oldest run with an open batch was made.", measures.oldest_open),
        ("last_batch", "When a batch was last finished.", measures.last_batch),
        ("last_evaluation", "When an evaluation was last finished.", measures.last_evaluation),
    ):
        family = GaugeMetricFamily(f"nightread_{name}_timestamp_seconds", f"{documentation} Absent: none.")
        if moment is not None:
            family.add_metric([], moment.timestamp())
        yield family


def _by_state(name: str, documentation: str, label: str, counts: dict[str, int]) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=[label])
    for state, count in counts.items():
        family.add_metric([state], count)
    return family
