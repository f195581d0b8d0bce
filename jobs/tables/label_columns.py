"""Which columns of a manifest have labels, and how their cells become one character per finding."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NoReturn

from jobs.tables.cells import is_unknown
from jobs.tables.columns import ABSENT, ColumnError, Header, shown
from jobs.tables.spellings import NO_FINDING, Vocabulary, is_no_finding, key_of

Uncertain = Literal["ignore", "positive", "negative"]
"""What an uncertain label (-1, as in CheXpert) counts as: unknown, present or absent."""

UNKNOWN: Final = "-"
"""The label of a finding that nobody looked for."""

LIST_NAME: Final = "Finding Labels"
"""NIH's name for a column that lists findings: every cell of it is taken as a list."""

_OTHER_LIST_NAMES: Final = ("Finding Label", "Findings", "Labels", "Label")
"""Names for such a column in other files, where it may be something else: its cells decide."""

_OF_UNCERTAIN: Final[Mapping[Uncertain, str]] = {"ignore": UNKNOWN, "positive": "1", "negative": "0"}
_ABSENT_FLAG: Final = re.compile(r"0(?:[.,]0+)?|false", re.ASCII | re.IGNORECASE)
_PRESENT_FLAG: Final = re.compile(r"1(?:[.,]0+)?|true", re.ASCII | re.IGNORECASE)
_UNCERTAIN_FLAG: Final = re.compile(r"-1(?:[.,]0+)?", re.ASCII)


class LabelColumns:
    """The columns of 0 and 1 by finding, and the column that lists findings by name, if there is one.

    `flags`: finding -> index. `listed`: the list's index, or ABSENT. `findings`: those that have labels.
    `words`: those of the list that mean a finding of another name.
    """

    def __init__(
        self,
        header: Header,
        vocabulary: Vocabulary,
        option: Mapping[str, str] | None,
        uncertain: Uncertain,
        *,
        ignore_others: bool,
        listed: str = "",
        about: Sequence[str] = (),
    ) -> None:
        """Find the columns; raise ColumnError for an option that does not fit the header.

        `listed`: the name of the column that lists findings, where a layout says it. `about`: the findings
        that such a list is about although it may name none of them.
        """
        self._header = header
        self._vocabulary = vocabulary
        self.uncertain: Uncertain = uncertain
        self._ignore_others = ignore_others
        self.flags = header.findings(vocabulary, option)
        # An option says where a finding's labels are; elsewhere they are not looked for.
        self._optional = {vocabulary.finding(word) or word.strip() for word in (option or {}).values()}
        self._about = {found for word in about if (found := vocabulary.finding(word)) is not None}
        self._by_layout = bool(listed)
        index = header.named(listed) if listed else header.find(LIST_NAME)
        self._certain = index != ABSENT
        self.listed = index if self._certain else header.find(*_OTHER_LIST_NAMES)
        if self.listed in self.flags.values():
            self.listed = ABSENT
        self._from_list: frozenset[str] = frozenset()
        self.findings: tuple[str, ...] = ()
        self.words: dict[str, str] = {}

    @property
    def indexes(self) -> list[int]:
        """The columns in the order in which `labels` takes their cells: the flags', and the list."""
        return [*self.flags.values(), *([self.listed] if self.listed != ABSENT else [])]

    def settle(self, cells: Mapping[str, int]) -> None:
        """Decide from all cells of the list whether it is one, and of which findings.

        A list is about the findings that occur in it, and about all of ChestX-ray14's if it names no others.
        A finding of the model that no cell names is not absent everywhere: nobody may have looked for it.
        """
        words = {word for cell in cells for word in cell.split("|") if not is_unknown(word)}
        known = {found for word in words if (found := self._vocabulary.finding(word)) is not None}
        if not self._certain and not known and not any(map(is_no_finding, words)):
            self.listed = ABSENT
        if self.listed != ABSENT:
            self._from_list = frozenset(known | self._about)
            others = known - {self._vocabulary.finding(NO_FINDING)} - self._vocabulary.usual
            if not (self._by_layout or others):
                self._from_list |= self._vocabulary.usual
            self._from_list -= self._optional
            for word in sorted(words):
                found = self._vocabulary.finding(word)
                if found is not None and key_of(word) != key_of(found):
                    self.words[word.strip()] = found
        labelled = {**self.flags, **dict.fromkeys(self._from_list)}
        ordered = dict.fromkeys((*self._vocabulary.findings, *self.flags))
        self.findings = tuple(finding for finding in ordered if finding in labelled)

    def sources(self) -> dict[str, str]:
        """Return finding -> the column that its labels come from; the list where no flag has it."""
        names = self._header.names
        return {finding: names[self.flags.get(finding, self.listed)] for finding in self.findings}

    def passed_over(self, cells: Mapping[str, int]) -> Counter[str]:
        """Count the words of the list that are no finding, by their spelling."""
        if not self._ignore_others or self.listed == ABSENT:
            return Counter()
        words: Counter[str] = Counter()
        for cell, rows in cells.items():
            for word in cell.split("|"):
                if not (is_unknown(word) or is_no_finding(word) or self._vocabulary.finding(word)):
                    words[word.strip()] += rows
        return words

    def labels(self, cells: tuple[str, ...]) -> str:
        """Read the cells of one row into one character per finding: 1, 0, or - for unknown.

        Raises ColumnError at a cell that cannot be read, and where a flag and the list differ.
        """
        found = {
            finding: self._flag(index, cell)
            for (finding, index), cell in zip(self.flags.items(), cells, strict=False)
        }
        if self.listed != ABSENT:
            for finding, label in self._list(cells[-1]).items():
                own = found.get(finding, UNKNOWN)
                if UNKNOWN not in {own, label} and own != label:
                    column = self._header.names[self.flags[finding]]
                    says = "names it" if label == "1" else "does not name it"
                    problem = f"the label is {own}, but {shown(self._header.names[self.listed])} {says}"
                    option = f"--finding-column {shown(f'{column}={finding}')}"
                    raise ColumnError(problem, f"Correct one, or take this column's: {option}.", column)
                found[finding] = own if label == UNKNOWN else label
        return "".join(found[finding] for finding in self.findings)

    def _flag(self, index: int, cell: str) -> str:
        word = cell.strip()
        if _ABSENT_FLAG.fullmatch(word):
            return "0"
        if _PRESENT_FLAG.fullmatch(word):
            return "1"
        if is_uncertain(word):
            return _OF_UNCERTAIN[self.uncertain]
        if is_unknown(word):
            return UNKNOWN
        raise ColumnError(
            f"label {shown(cell)} is none of 0, 1 and blank",
            "Write 1 for present, 0 for absent, nothing for unknown.",
            self._header.names[index],
        )

    def _list(self, cell: str) -> dict[str, str]:
        """Read findings separated by |, "No Finding", or blank where nobody looked."""
        if is_unknown(cell):
            return dict.fromkeys(self._from_list, UNKNOWN)
        column = self._header.names[self.listed]
        words = {key_of(word): word for word in cell.split("|")}
        healthy = [word for word in words.values() if is_no_finding(word)]
        if healthy and len(words) > 1:
            advice = 'Keep either "No Finding" or the findings.'
            raise ColumnError(f"{shown(cell)} says No Finding and names findings", advice, column)
        present = {word: self._vocabulary.finding(word) for word in words.values()}
        unknown = [word for word, finding in present.items() if finding is None and word not in healthy]
        if unknown and not self._ignore_others:
            self._refuse(unknown[0], column)
        return {finding: "1" if finding in present.values() else "0" for finding in self._from_list}

    def _refuse(self, word: str, column: str) -> NoReturn:
        known = self._vocabulary.findings
        near = self._vocabulary.near(word)
        raise ColumnError(
            f"{shown(word)} is none of the {len(known)} findings{f'; is it {near}?' if near else ''}",
            f"Separate with | some of {', '.join(known)}; --ignore-labels passes over other words.",
            column,
        )


def is_present(cell: str) -> bool:
    """Return whether a label is 1, 1.0 or True."""
    return _PRESENT_FLAG.fullmatch(cell.strip()) is not None


def is_uncertain(cell: str) -> bool:
    """Return whether a label is -1 or -1.0."""
    return _UNCERTAIN_FLAG.fullmatch(cell.strip()) is not None
