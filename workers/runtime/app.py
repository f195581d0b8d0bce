"""The Celery app that workers, beat and Flower load: `celery -A workers.runtime.app`."""

from celery import Celery

from config.queues import celery_settings
from config.settings import Settings, load_settings
from workers.errors import NoBrokerError


def make_app(settings: Settings) -> Celery:
    """Make the app; NoBrokerError without a broker's URL."""
    if settings.broker_url is None:
        raise NoBrokerError(
            "NIGHTREAD_BROKER_URL is not set; `nightread score` brings its own queue and workers, "
            "for workers of your own start a Redis or Valkey and name it: redis://:password@host:6379/0"
        )
    made = Celery("nightread", include=["workers.runtime.lifecycle", "workers.runtime.tasks"])
    made.conf.update(celery_settings(settings.broker_url.get_secret_value(), settings.tick_seconds))
    made.conf.worker_consumer = "workers.runtime.consumer:StrictConsumer"
    return made


app = make_app(load_settings())
