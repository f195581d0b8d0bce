"""Options that several commands share as one: a command gets what they make, in a single argument."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

T = TypeVar("T")


def bundled(
    command: Callable[..., T], made: Callable[..., object], argument: str, *, first: bool = False
) -> Callable[..., T]:
    """Give a command the options of `made`; its `argument` gets what that returns.

    They follow the command's own, or precede them where they are `first`.
    """
    parameters = inspect.signature(made).parameters

    @wraps(command)
    def with_options(**given: object) -> T:
        told = {name: given.pop(name) for name in parameters}
        return command(**given, **{argument: made(**told)})

    of_command = inspect.signature(command).parameters
    own = [parameter for name, parameter in of_command.items() if name != argument]
    bundle = list(parameters.values())
    merged = inspect.Signature([*bundle, *own] if first else [*own, *bundle])
    vars(with_options)["__signature__"] = merged  # what Typer makes its options of
    with_options.__annotations__ = {name: each.annotation for name, each in merged.parameters.items()}
    return with_options
