"""The one base of the errors that a wrong configuration raises."""


class ConfigError(Exception):
    """A setting or a model card is wrong; the message says which and what to do."""
