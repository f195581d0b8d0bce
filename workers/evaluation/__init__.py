"""From scores in the ledger to figures in the ledger, by the statistics of workers/metrics."""
