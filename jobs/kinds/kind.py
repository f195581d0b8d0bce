"""What people meet of a kind of answer: the figures at a run's end, its report, what is exported of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from db.database import Database, SqlRow
from jobs.kinds.objects import ObjectKind


@dataclass(frozen=True, slots=True)
class AnswerKind:
    """The runs whose model's card is of one kind, as commands speak of them."""

    noun: str
    """What a row of such a run's manifest is, as sentences have it; its plural has an s."""

    view: str
    """The view with its answers, which `export` writes by default: of `EXPORTS` in `jobs/export.py`."""

    figures: str
    """The figures' name in JSON."""

    read_figures: Callable[[Database, int], Sequence[SqlRow]]
    """Reads the figures of a run's newest evaluation."""

    print_figures: Callable[[Sequence[SqlRow], str], None]
    """Prints them under a title, at a run's end."""

    beside: str
    """What lies in a run's folder beside the rows."""

    objects: tuple[ObjectKind, ...]
    """The DICOM objects that they become."""

    report: str
    """Its `AnswerReport`: what its runs' pages have. By name, as commands start without what draws plots."""

    unsuited: Mapping[str, str]
    """Commands that do not suit such a run, each with what follows `run N`: why, and the way on.

    `{run}` stands for its number. `evaluate` suits all runs; here it stands for its options.
    """
