"""Numeric code of scoring: pixels, the network, Grad-CAM, weights. Knows arrays, not Celery, SQL or settings."""
