"""The kinds of file that a table may be in: one module per kind."""
