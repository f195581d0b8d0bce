"""Training of networks that segment volumes, on sub-volumes."""
