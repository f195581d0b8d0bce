"""What is told when a run has ended: its figures, its failures, and the alerts it raised."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Final

from db import alerts, deliveries, queries, sendings
from db.database import Database
from db.deliveries import NOT_DICOM
from db.schedules import Schedule
from db.sendings import Sending
from db.states import DeliveryState, RunStatus
from jobs.console import interval, note, print_table, say, warn
from jobs.kinds.known import ANSWER_KINDS, kind_of, noun_of

_ALERTS_SHOWN: Final = timedelta(days=7)


def outcome(database: Database, ended: queries.Progress) -> Mapping[str, object]:
    """Return what a program reads when a run has ended: its progress, reading, figures and failures."""
    kind = kind_of(database, ended.run_id)
    return asdict(ended) | {
        "reading": queries.reading_of(database, ended.run_id),
        "sendings": [asdict(sending) for sending in sendings.of_run(database, ended.run_id)],
        **{known.figures: [] for known in ANSWER_KINDS.values()},
        kind.figures: [row._asdict() for row in kind.read_figures(database, ended.run_id)],
        "failure_reasons": [asdict(group) for group in queries.failure_reasons(database, ended.run_id)],
    }


def print_figures(database: Database, run_id: int) -> None:
    """Print the newest figures of a run, such as its AUC table, and what its model is."""
    kind = kind_of(database, run_id)
    card = queries.model_card(database, run_id)
    title = f"run {run_id}, model {card['name']} ({card['sha256'][:12]})"
    kind.print_figures(kind.read_figures(database, run_id), title)
    say(f"{card['name']}: {card['description']}")
    if not card["trained"]:
        say("It is untrained: these figures show that the machinery works, nothing else.", style="yellow")
    if not card["clinical_use"]:
        say("Not for clinical use.")


def print_localisation(database: Database, evaluation_id: int) -> None:
    """Print how well the maps of an evaluation's run point at the boxes."""
    print_table(
        ("finding", "images", "peak in a box", "share", "95% interval", "mean IoU", "95% interval", ""),
        (
            (
                row.finding,
                row.images,
                row.hits,
                row.pointing,
                interval(row.ci_low, row.ci_high),
                row.mean_iou,
                interval(row.mean_iou_low, row.mean_iou_high),
                row.reason,
            )
            for row in queries.localisation_table(database, evaluation_id)
        ),
        title="heatmaps against drawn boxes",
    )


def print_failures(database: Database, run_id: int) -> None:
    """Print how many images failed and why, if any did."""
    groups = queries.failure_reasons(database, run_id)
    if groups:
        noun = noun_of(database, run_id)
        print_table(
            ("stage", "reason", f"{noun}s", "one of them"),
            ((group.stage, group.reason, group.images, group.example) for group in groups),
            title=f"{noun}s that could not be scored",
        )


def print_quality(database: Database, run_id: int) -> None:
    """Print how many images are not like those that the model knows, or that nobody has asked."""
    seen, flagged = queries.count_flagged(database, run_id)
    card = queries.model_card(database, run_id)
    if flagged:
        warn(
            f"{flagged:,} of {seen:,} images are not like those that the model knows; the view quality has "
            "them, and why, where its flag is not NULL"
        )
    elif not seen and card.get("kind") == "classification":
        say(f"model {card['name']} has no gate: nobody has asked whether the images are like those it knows")


def print_changed(database: Database, run_id: int) -> None:
    """Print how many images are not the same bytes as when they were read before, if any are not."""
    if changed := queries.count_changed(database, run_id):
        warn(
            f"{changed:,} {noun_of(database, run_id)}s have changed since they were read before; the view "
            "contents has them where its column changed is 1"
        )


def print_deliveries(
    database: Database, run_id: int, target: str, kinds: Collection[str] | None = None
) -> bool:
    """Print what a receiver has of a run, and what not; returns whether it has all. `kinds`: only these."""
    counts = [
        count for count in deliveries.counts(database, run_id, target) if kinds is None or count.kind in kinds
    ]
    sent = sum(count.objects for count in counts if count.state == DeliveryState.SENT)
    say(f"{target} has {sent:,} objects of run {run_id}")
    if pictures := sum(count.objects for count in counts if count.status == NOT_DICOM):
        note(f"{pictures:,} objects are not made, as their images are no DICOM files")
    others = [count for count in counts if count.state != DeliveryState.SENT and count.status != NOT_DICOM]
    for count in others:
        warn(f"{count.objects:,} {count.kind} are {count.state}: {count.status}")
    if others:
        note(f"once mended: nightread send {run_id} --to {target} --again")
    return not others


def print_sendings(found: Iterable[Sending]) -> None:
    """Print which runs' results are being sent, and what that waits for."""
    for sending in found:
        about = f"run {sending.run_id}, results to {sending.target}"
        if sending.message:
            warn(f"{about}: not sent: {sending.message}")
        elif sending.waits_for is not None and sending.waits_since is not None:
            warn(f"{about}: waiting since {_moment(sending.waits_since)}: {sending.waits_for}")
        elif sending.state.settled:
            refused = f", {sending.refused:,} refused" if sending.refused else ""
            say(f"{about}: {sending.state}, {sending.sent:,} sent{refused}")
        elif sending.run_status == RunStatus.COMPLETE:
            say(f"{about}: {sending.sent:,} sent, {sending.left:,} to go")


def print_waiting(found: Iterable[Schedule]) -> None:
    """Print what keeps schedules from being acted on."""
    for schedule in found:
        if schedule.waits_for is not None and schedule.waits_since is not None:
            since = _moment(schedule.waits_since)
            warn(f"schedule {schedule.name}: waiting since {since}: {schedule.waits_for}")


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M} UTC"


def print_alerts(database: Database) -> None:
    """Print the alerts of the last days, one per line, oldest first."""
    for alert in alerts.since(database, datetime.now(UTC) - _ALERTS_SHOWN):
        warn(f"alert {alert.alert_id}, {_moment(alert.raised_at)}: {alert.message}")
