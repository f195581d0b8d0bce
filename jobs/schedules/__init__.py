"""Automatic runs and evaluations, and the delivery of alerts."""
