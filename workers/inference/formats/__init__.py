"""The formats of pictures: one module each, with its own checks."""
