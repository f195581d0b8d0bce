"""The report of a run: its content, its plots, and its page."""
