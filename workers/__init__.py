"""Celery workers: the app, its tasks and the scoring pipeline; below it the numeric code."""
