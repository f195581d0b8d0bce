"""What pages of a run show, one page at a time, whatever the run's size: one module per kind of answer."""
