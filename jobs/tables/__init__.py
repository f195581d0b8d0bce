"""Every CSV that people supply: manifests, labels, boxes, and another system's scores."""
