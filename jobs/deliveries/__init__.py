"""Results on their way into a PACS: where to, and what became of each object."""
