"""Pure statistics of finished scores: arrays in, figures out."""
