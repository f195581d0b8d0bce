"""Drawn chest radiographs with known findings, for the demo, for tests and for training the demo's model."""
