"""The kinds of answers, as people meet them: one module per kind."""
