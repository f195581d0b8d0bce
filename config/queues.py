"""Queue and task names, and the Celery settings that make the ledger's promises hold.

Every limit follows from LONGEST_BATCH_SECONDS, and each setting has its reason beside it. The ledger in SQL
stays correct without any of them; they only decide how soon work continues after a process died.
"""

import socket
from collections.abc import Mapping
from typing import Final

SCORE_QUEUE: Final = "score"
CONTROL_QUEUE: Final = "control"

SCORE_BATCH: Final = "nightread.score_batch"
EVALUATE: Final = "nightread.evaluate"
SEND_RESULTS: Final = "nightread.send_results"
RECONCILE: Final = "nightread.reconcile"

IDENTITY: Final = "nightread.identity"
"""The question that workers answer with their version and card; no task."""

LONGEST_BATCH_SECONDS: Final = 600
"""A batch that takes longer hangs (a dead network drive, say): its process is killed, the batch retried."""

LONGEST_RECONCILIATION_SECONDS: Final = 6 * 3600
"""A reconciliation may search a PACS or list a bucket for a schedule, which takes longer than a batch."""

MESSAGES_IN_FLIGHT: Final = 256
"""The number of batches announced to the broker at once, whatever the archive's size."""

SUBMIT_RETRY: Final[Mapping[str, float]] = {"max_retries": 3, "interval_start": 0.1, "interval_step": 0.3}
"""Sending is given up soon: the reconciler sends the message again."""

_VISIBILITY_SECONDS: Final = 10 * LONGEST_BATCH_SECONDS

_TRANSPORT_OPTIONS: Final[Mapping[str, object]] = {
    "visibility_timeout": _VISIBILITY_SECONDS,
    # kombu looks for messages of dead workers every 2 s instead of every 100 s.
    "unacked_restore_interval": 2,
    "unacked_restore_throttle": 1,
    "socket_timeout": 30,
    "socket_connect_timeout": 10,
    "health_check_interval": 25,
}


def _verified(broker_url: str) -> str:
    """Have the certificate of a TLS server checked, which kombu does only where the URL asks for it."""
    if not broker_url.startswith("rediss://") or "ssl_cert_reqs=" in broker_url:
        return broker_url
    return f"{broker_url}{'&' if '?' in broker_url else '?'}ssl_cert_reqs=required"


def celery_settings(broker_url: str, tick_seconds: float) -> dict[str, object]:
    """Return the settings of the Celery app, the same for producers, workers and beat."""
    options = dict(_TRANSPORT_OPTIONS)
    if "://" in broker_url and not broker_url.startswith("redis+socket"):
        options["socket_keepalive"] = True
    return {
        "broker_url": _verified(broker_url),
        "broker_transport_options": options,
        # The documentation asks for the same timeout in all three places.
        "visibility_timeout": _VISIBILITY_SECONDS,
        "result_backend_transport_options": {"visibility_timeout": _VISIBILITY_SECONDS},
        # A starting worker waits for its broker forever. One that lost it ends its batches and starts again
        # (`nightread worker` does that): in many of Celery's versions, reconnecting within the process has
        # left workers that run and take nothing (issues 8091, 10096 and 10302 among others).
        "broker_connection_retry": False,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # A server that is full or a replica counts as lost, too.
        "broker_channel_error_retry": True,
        "broker_connection_timeout": 5,
        # Results are in SQL; the messages are {"batch_id": n} and nothing else is understood.
        "task_ignore_result": True,
        "task_serializer": "json",
        "accept_content": ["json"],
        # A message leaves the queue when its batch has ended, and comes back when its process died.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "task_time_limit": LONGEST_BATCH_SECONDS,
        # TensorFlow must not be inherited through a fork, and takes longer to load than the default 4 s.
        "worker_pool_start_method": "spawn",
        "worker_proc_alive_timeout": 300,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        # Flower is fed by these events.
        "worker_send_task_events": True,
        "task_send_sent_event": True,
        "task_track_started": True,
        "task_default_queue": CONTROL_QUEUE,
        "task_routes": {
            SCORE_BATCH: {"queue": SCORE_QUEUE},
            EVALUATE: {"queue": CONTROL_QUEUE},
            SEND_RESULTS: {"queue": CONTROL_QUEUE},
            RECONCILE: {"queue": CONTROL_QUEUE},
        },
        "beat_schedule": {
            "reconcile": {
                "task": RECONCILE,
                "schedule": tick_seconds,
                # Ticks must not pile up while no worker is running.
                "options": {"expires": tick_seconds},
            }
        },
        "enable_utc": True,
        "timezone": "UTC",
    }


def worker_name(name: str) -> str:
    """Return the whole name of a worker, NAME@HOST; without a host it is one of this machine's."""
    return (name if "@" in name else f"{name}@%h").replace("%h", socket.gethostname())
