"""Settings, queue names and limits, logging, findings and model cards."""
