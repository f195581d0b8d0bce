"""The workers that answer through the broker: there are some, of one version, with one card for a model."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.metadata import version
from typing import Final

from config.cards.model import find_model
from config.errors import ConfigError
from jobs.dispatch.broker import Broker, BrokerAwayError, BrokerError
from jobs.doctor.verdict import Night, State, Verdict

_NAME: Final = "workers"


def ask(night: Night) -> Iterator[Verdict]:
    """Ask all workers what they are, and compare them with each other and with what is installed here."""
    url = night.settings.broker_url
    if url is None:
        yield Verdict(_NAME, State.OK, "no broker configured: score starts workers of its own")
        return
    broker = Broker.connect(url.get_secret_value(), night.settings.tick_seconds)
    try:
        answers = broker.ask_workers()
    except (BrokerAwayError, BrokerError):
        yield Verdict(_NAME, State.UNASKED, "the broker does not answer", "mend the broker first")
        return
    if not answers:
        yield Verdict(_NAME, State.FAULT, "none answers", "start one: nightread worker")
        return
    names = ", ".join(sorted(answers))
    flaws = [*_versions(answers), *_cards(answers, night)]
    yield from flaws or [Verdict(_NAME, State.OK, f"{len(answers)} answer, all alike: {names}")]


def _versions(answers: Mapping[str, Mapping[str, str]]) -> Iterator[Verdict]:
    here = version("nightread")
    others = sorted(
        f"{name} has {answer.get('version', 'an earlier one')}"
        for name, answer in answers.items()
        if answer.get("version") != here
    )
    if others:
        seen = f"not all have version {here}, as here: {', '.join(others)}"
        yield Verdict(_NAME, State.WARNING, seen, "install one version on all machines, and start them again")


def _cards(answers: Mapping[str, Mapping[str, str]], night: Night) -> Iterator[Verdict]:
    """Compare the cards of each model: a worker with another one gives a run's batches back for good."""
    cards: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, answer in answers.items():
        if "model" in answer:
            cards[answer["model"]][answer["card_sha256"]].append(name)
    for model, found in sorted(cards.items()):
        with suppress(ConfigError):  # it need not be here: the line about the model says so
            found[find_model(model, night.settings.models).card.fingerprint].append("this machine")
        if len(found) > 1:
            sides = " / ".join(", ".join(sorted(names)) for names in found.values())
            seen = f"model {model} is not the same everywhere: {sides}"
            yield Verdict(
                _NAME, State.FAULT, seen, "copy one model folder to all, and start the workers again"
            )
