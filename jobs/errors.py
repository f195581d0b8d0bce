"""What can go wrong on the data's way between the manifest and the queue, under one base."""


class JobsError(Exception):
    """Anything that the command line shows as one line instead of a traceback."""


class SourceError(JobsError):
    """The images' root cannot be used; the message says why and what to do."""
