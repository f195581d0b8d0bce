"""How unusual cells of a manifest were taken, one line per kind."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

from jobs.tables.cells import OLDEST, is_no_sex, is_open_age, is_unknown_word, patient_parser, written_age
from jobs.tables.columns import shown
from jobs.tables.label_columns import LabelColumns, is_uncertain

_EXAMPLES: Final = 5


def remarks(
    facts: Mapping[str, int], counts: Mapping[int, Counter[str]], labels: LabelColumns
) -> tuple[str, ...]:
    """Return what is to be said about a table's cells.

    `facts`: what is read -> its column's index. `counts`: index -> its distinct cells.
    """
    flags: Counter[str] = Counter()
    for index in labels.flags.values():
        flags.update(counts[index])
    listed = counts.get(labels.listed, Counter())
    ages, sexes, patients = (counts.get(facts.get(what, -1), Counter()) for what in ("age", "sex", "patient"))
    patient_of = patient_parser(patients)
    everything = flags + listed
    for index in facts.values():
        everything.update(counts.get(index, ()))
    said = (
        (_of(everything, is_unknown_word), "words for unknown, taken as blank"),
        (_of(flags, is_uncertain), _POLICIES[labels.uncertain]),
        (labels.passed_over(listed), "words in lists that are no finding, passed over (--ignore-labels)"),
        (_of(ages, _is_impossible), f"ages over {OLDEST:.0f}, taken as unknown"),
        (_of(ages, is_open_age), "ages without an upper bound, taken as the lowest that they can be"),
        (_of(sexes, is_no_sex), "sexes taken as unknown"),
    )
    lines = [f"{words}: {found.total():,} ({_examples(found)})" for found, words in said if found]
    changed = _of(patients, lambda cell: patient_of(cell) not in {None, cell.strip()})
    if changed:  # without an example, which would name a patient
        rows = changed.total()
        lines.append(
            f"patients are whole numbers throughout, kept without .0 and zeros in front: {rows:,} rows"
        )
    return tuple(lines)


_POLICIES: Final = {
    "ignore": "uncertain labels (-1), taken as unknown (see --uncertain)",
    "positive": "uncertain labels (-1), taken as positive (--uncertain)",
    "negative": "uncertain labels (-1), taken as negative (--uncertain)",
}


def _of(cells: Counter[str], kind: Callable[[str], bool]) -> Counter[str]:
    found: Counter[str] = Counter()
    for cell, rows in cells.items():
        if kind(cell):
            found[cell.strip()] += rows
    return found


def _is_impossible(cell: str) -> bool:
    years = written_age(cell)
    return years is not None and years > OLDEST


def _examples(found: Counter[str]) -> str:
    shown_cells = [f"{rows:,} {shown(cell)}" for cell, rows in found.most_common(_EXAMPLES)]
    return ", ".join([*shown_cells, *(["…"] if len(found) > _EXAMPLES else [])])
