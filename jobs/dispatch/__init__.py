"""The queue's side of the ledger: announcing, reconciling, and waiting for a run's end."""
