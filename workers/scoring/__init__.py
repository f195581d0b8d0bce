"""From a claimed batch's images to their outcomes: one scorer per kind of model."""
