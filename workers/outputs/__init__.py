"""What is written beside a run's rows."""
