"""Importing models: other projects' weight files, read, checked and written as model folders."""
