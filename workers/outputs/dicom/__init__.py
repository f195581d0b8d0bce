"""A run's results as DICOM objects, in their films' studies and in series of their own."""
