"""Delivering alerts: the last step of a schedule's way, a POST of JSON to the webhook of the settings."""

import logging
from datetime import datetime
from functools import partial
from typing import Final

import requests

from config.settings import Settings
from db import alerts
from db.alerts import Alert
from db.database import Database
from db.receipts import patiently
from jobs.console import plain

log = logging.getLogger(__name__)

_TIMEOUT_SECONDS: Final = 10
_SUCCESS: Final = 2  # the hundreds of an HTTP status

# At DEBUG it writes the path of each URL, in which most webhooks have their secret.
logging.getLogger("urllib3").setLevel(logging.WARNING)


def deliver(database: Database, settings: Settings, now: datetime) -> None:
    """Post the alerts that were not delivered yet, until one fails: the next call continues.

    Each try is first claimed in the database, so that only one of two reconcilers posts. Without a webhook in
    the settings nothing is tried.
    """
    if settings.webhook_url is None:
        return
    for alert in alerts.undelivered(database, now):
        if not alerts.claim(database, alert):
            continue
        if not _arrives(settings.webhook_url.get_secret_value(), alert):
            return
        # It has arrived: a lost answer here must not have it posted again.
        patiently(partial(alerts.set_delivered, database, alert.alert_id, now))
        log.info("alert %d was delivered", alert.alert_id)


def _arrives(url: str, alert: Alert) -> bool:
    try:
        answer = requests.post(
            url,
            json={
                "alert": alert.alert_id,
                "kind": alert.kind,
                "schedule": alert.schedule and plain(alert.schedule),
                "message": plain(alert.message),
                "run": alert.run_id,
                "evaluation": alert.evaluation_id,
                "time": alert.raised_at.isoformat(),
            },
            timeout=_TIMEOUT_SECONDS,
            # An alert goes to the named host, and to no other.
            allow_redirects=False,
        )
    except requests.RequestException as error:
        # Its text holds the URL.
        problem = type(error).__name__
    else:
        if answer.status_code // 100 == _SUCCESS:
            return True
        problem = f"HTTP status {answer.status_code}"
    log.warning("alert %d could not be delivered: %s; it is tried again for a day", alert.alert_id, problem)
    return False
