"""docker-compose.yml as Docker Compose reads it: merged, its variables replaced, one service a name."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from support import ROOT

COMPOSE = ROOT / "docker-compose.yml"
EXAMPLE = ROOT / ".env.example"

_EXAMPLE = re.compile(r"(?P<out>#?)(?P<name>\w+)=(?P<value>.*)")
_VARIABLE = re.compile(r"\$(?:\$|\{(?P<name>\w+)(?:(?P<rule>:[?-])(?P<text>[^}]*))?\})")


class VariableMissingError(ValueError):
    """A variable that the file requires is empty or not set."""


@dataclass(frozen=True)
class Variable:
    """A use of a variable: `${name}`, `${name:-default}` or `${name:?message}`."""

    name: str
    rule: str | None
    text: str


def variables() -> list[Variable]:
    """All uses of variables in the file."""
    found = _VARIABLE.finditer(COMPOSE.read_text(encoding="utf-8"))
    return [Variable(use["name"], use["rule"], use["text"] or "") for use in found if use["name"]]


def passed_on() -> dict[str, set[str]]:
    """The variables that each service gets as they are outside, if they are set there."""
    content = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    return {
        name: {variable for variable, value in service.get("environment", {}).items() if value is None}
        for name, service in content["services"].items()
    }


def services(environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The services with their variables replaced; VariableMissingError as Compose refuses to start."""
    found: dict[str, dict[str, Any]] = _replaced(environment)["services"]
    for name, variables in passed_on().items():
        if variables:
            found[name]["environment"] = {
                variable: environment[variable] if variable in variables else value
                for variable, value in found[name]["environment"].items()
                if variable in environment or variable not in variables
            }
    return found


def networks(environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The networks, likewise."""
    found: dict[str, dict[str, Any]] = _replaced(environment)["networks"]
    return found


def _replaced(environment: Mapping[str, str]) -> dict[str, Any]:
    """The file with its variables replaced."""

    def value(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            return "$"
        given = environment.get(name, "")
        if given or match["rule"] is None:
            return given
        if match["rule"] == ":-":
            return match["text"]
        raise VariableMissingError(f"required variable {name} is missing a value: {match['text']}")

    def replaced(node: Any) -> Any:
        if isinstance(node, str):
            return _VARIABLE.sub(value, node)
        if isinstance(node, list):
            return [replaced(part) for part in node]
        if isinstance(node, dict):
            return {key: replaced(part) for key, part in node.items()}
        return node

    content: dict[str, Any] = replaced(yaml.safe_load(COMPOSE.read_text(encoding="utf-8")))
    return content


def shell_of(service: dict[str, Any]) -> list[str]:
    """A service's health check as a command line."""
    kind, *arguments = service["healthcheck"]["test"]
    return ["sh", "-c", *arguments] if kind == "CMD-SHELL" else arguments


def example() -> dict[str, tuple[str | None, str]]:
    """The variables of .env.example: (value, or None if it is commented out; the comment above its group)."""
    found: dict[str, tuple[str | None, str]] = {}
    comment: list[str] = []
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        if given := _EXAMPLE.fullmatch(line):
            found[given["name"]] = (None if given["out"] else given["value"], " ".join(comment))
        elif line.startswith("#"):
            comment.append(line.removeprefix("#").strip())
        else:
            comment = []
    return found
