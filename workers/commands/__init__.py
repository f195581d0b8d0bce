"""The command `nightread`, and its commands that need the workers' code, one module each."""
