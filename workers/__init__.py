"""Celery workers: the app, its tasks and the scoring pipeline; below it the numeric code."""

import os

# Of TensorFlow's own log the errors only. It reads this when it is loaded, which several modules do.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
