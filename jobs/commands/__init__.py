"""The commands that need no model code, one module each; workers/commands/main.py loads them by name."""
