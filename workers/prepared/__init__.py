"""Pictures prepared for networks, and kept for the next one that asks for the same."""
