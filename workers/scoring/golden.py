"""The model of the settings, loaded as a worker's child loads it: it must give its card's golden scores."""

from collections.abc import Iterator
from typing import Final

from config.cards.model import find_model
from config.errors import ConfigError
from config.machine import children_and_threads, engine_of, idle_gpu
from jobs.doctor.verdict import Night, State, Verdict
from workers.scoring.kinds import make_scorer
from workers.scoring.scorer import ScorerOptions

_NAME: Final = "model"


def ask(night: Night) -> Iterator[Verdict]:
    """Load the model into this process, which takes as long as it takes a worker."""
    settings = night.settings
    options = ScorerOptions(
        engine_of(settings),
        children_and_threads(settings)[1],
        settings.overlays,
        settings.max_image_pixels,
        graphs=settings.graphs,
    )
    try:
        scorer = make_scorer(find_model(settings.model, settings.models), options)
    except ConfigError as error:
        yield Verdict(_NAME, State.FAULT, str(error), "mend or replace its folder, or set NIGHTREAD_MODEL")
        return
    seen = f"{settings.model} gives its card's golden scores on {scorer.engine}"
    if idle := idle_gpu(scorer.engine):
        yield Verdict(
            _NAME, State.WARNING, f"{seen}; {idle}", "install the extra gpu, or set NIGHTREAD_ENGINE=openvino"
        )
        return
    yield Verdict(_NAME, State.OK, seen)
