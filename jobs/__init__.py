"""Producing work: manifests, batches, submitting, reconciling, and the command line."""
