"""A run in a browser: pages over the ledger, on this machine only, that change nothing."""
