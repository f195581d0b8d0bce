"""Every CSV that people hand in: manifests, labels, boxes, and another system's scores."""
