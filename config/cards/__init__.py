"""Model cards: what a model is, and what must hold before a worker uses it."""
