"""What can go wrong on the data's way between the manifest and the queue, under one base.

Each error is of one of two kinds: a person has to fix it, or it passes with time.
"""


class JobsError(Exception):
    """Anything that the command line shows as one line instead of a traceback."""


class InputError(JobsError):
    """Permanent: a person's input or request has to change; waiting does not help (exit code 2)."""


class AwayError(JobsError):
    """Transient: something is away; the same call works later without a change (exit code 1)."""


class SourceError(InputError):
    """The images' root cannot be used; the message says why and what to do."""


class SourceAwayError(AwayError):
    """The images' root cannot be read now, whichever image is asked for: none of them is at fault.

    Its server does not answer, is overloaded or fails, or refuses credentials that it took before.
    """
