"""Numeric code of scoring: pixels, network, Grad-CAM. Knows arrays, not Celery, SQL or settings."""
