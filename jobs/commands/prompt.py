"""A prompt for questions in SQL: with a history, and completion of views, columns and SQL's words."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.history import FileHistory, History, InMemoryHistory

_WORDS: Final = (
    *("SELECT", "FROM", "WHERE", "GROUP BY", "ORDER BY", "HAVING", "LIMIT", "JOIN", "LEFT JOIN", "USING"),
    *("AND", "OR", "NOT", "IN", "IS NULL", "LIKE", "BETWEEN", "DISTINCT", "WITH", "AS", "CASE", "DESC"),
    *("COUNT(*)", "AVG", "MIN", "MAX", "SUM", "NULLS LAST"),
)
_HISTORY: Final = "sql-history"


def completer(names: Iterable[str]) -> WordCompleter:
    """Make what completes these names and SQL's words, in either case."""
    return WordCompleter([*sorted(set(names)), *_WORDS], ignore_case=True)


def questions(home: Path, names: Iterable[str]) -> Iterator[str]:
    """Yield each query that a person types, until the end of input (Ctrl-D); Ctrl-C drops a line.

    The history is kept in the home folder, which is closed to other users as queries may name patients;
    without that folder it ends with the prompt. `names` are completed.
    """
    history: History = FileHistory(str(home / _HISTORY)) if home.is_dir() else InMemoryHistory()
    session: PromptSession[str] = PromptSession("sql> ", history=history, completer=completer(names))
    while True:
        try:
            query = session.prompt().strip()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if query in {"exit", "quit", r"\q"}:
            return
        if query:
            yield query
