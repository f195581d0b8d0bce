"""docker-compose.yml as Docker Compose reads it: merged, its variables replaced, one service a name."""

import re
from dataclasses import dataclass
from typing import Any

import yaml
from support import ROOT

COMPOSE = ROOT / "docker-compose.yml"
EXAMPLE = ROOT / ".env.example"

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


def services(environment: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The services with their variables replaced; VariableMissingError as Compose refuses to start."""

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

    content = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))
    found: dict[str, dict[str, Any]] = replaced(content["services"])
    return found


def shell_of(service: dict[str, Any]) -> list[str]:
    """A service's health check as a command line."""
    kind, *arguments = service["healthcheck"]["test"]
    return ["sh", "-c", *arguments] if kind == "CMD-SHELL" else arguments


def example() -> dict[str, tuple[str, str]]:
    """The variables of .env.example: (value, the comment above it)."""
    found = {}
    comment: list[str] = []
    for line in EXAMPLE.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            comment.append(line.removeprefix("#").strip())
        elif "=" in line:
            name, _, given = line.partition("=")
            found[name] = (given, " ".join(comment))
            comment = []
        else:
            comment = []
    return found
