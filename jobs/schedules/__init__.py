"""What is scored or evaluated again by itself, and how an alert leaves the house."""
