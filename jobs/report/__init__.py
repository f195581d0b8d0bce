"""The report of a run: what stands in it, its plots, and its page."""
