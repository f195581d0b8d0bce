"""Volumes: read within bounds, prepared, and segmented patch by patch."""
