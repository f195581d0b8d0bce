"""What can go wrong on the data's way between the manifest and the queue, under one base.

Whatever is raised is of one of two kinds: what a person has to mend, and what is to be waited for.
"""


class JobsError(Exception):
    """Anything that the command line shows as one line instead of a traceback."""


class InputError(JobsError):
    """Permanent: what a person handed in or asked for has to change; no waiting mends it (exit code 2)."""


class AwayError(JobsError):
    """Transient: something is not there now; the same works later, with nothing changed (exit code 1)."""


class SourceError(InputError):
    """The images' root cannot be used; the message says why and what to do."""
