"""Errors that stop a worker until a person changes something, under one base."""

from config.errors import ConfigError


class WorkersError(ConfigError):
    """A worker cannot do its work as this machine is set up; the message says what to change."""


class NoBrokerError(WorkersError):
    """A worker, beat or Flower was started without a broker to connect to."""


class WrongModelError(WorkersError):
    """This worker has another model under the name that a run was made with."""


class UnknownKindError(WorkersError):
    """This version cannot evaluate runs of a model of this kind."""
