"""Labels by several readers of one image become one: by majority, any, all, or those of one reader."""

from collections.abc import Sequence

from jobs.tables.columns import ColumnError, shown
from jobs.tables.layouts.shape import Shape

_WORDS = {
    "majority": "if most of its readers gave it",
    "any": "if any of its readers gave it",
    "all": "if all of its readers gave it",
}


class Readers:
    """How the readers of a table are put together; `rule` is majority, any, all, or the name of a reader."""

    def __init__(self, shape: Shape, column: str, rule: str) -> None:
        """Look at the column of the readers' names."""
        self._rule = rule
        self._names = shape.readers
        index = shape.header.named(column)
        shape.obeyed.add("readers")

        def remember(fields: list[str]) -> bool:
            self._names.add(fields[index].strip())
            return True

        shape.each(remember)
        shape.checks.append(self._check)

    def said(self) -> str:
        """Say how the readers are put together."""
        if self._rule in _WORDS:
            return f"several readers: an image has a label {_WORDS[self._rule]} (--readers {self._rule})"
        return f"several readers: the labels of {shown(self._rule)} alone (--readers)"

    def label(self, votes: dict[str, bool]) -> str:
        """Return 1, 0 or blank for one finding of one image from its readers' votes."""
        if self._rule not in _WORDS:
            return "" if self._rule not in votes else "01"[votes[self._rule]]
        given: Sequence[bool] = [*votes.values()]
        least = {"majority": len(given) // 2 + 1, "any": 1, "all": len(given)}[self._rule]
        return "01"[sum(given) >= least]

    def _check(self) -> None:
        if self._rule not in _WORDS and self._rule not in self._names:
            problem = f"--readers {self._rule}: no reader has that name"
            raise ColumnError(problem, f"There are {', '.join(sorted(self._names))}; or majority, any, all.")
