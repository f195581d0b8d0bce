"""What a hospital's monitoring reads: metrics of the ledger and the queue, and whether a process is well."""
