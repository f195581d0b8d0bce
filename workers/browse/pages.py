"""What the pages of a run are made with, and what a kind of answer brings into them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from jinja2 import Environment
from werkzeug.wrappers import Response

from config.cards.card import CardFields
from config.settings import Settings
from db.database import Database
from workers.archive import RunPictures

ROWS: Final = 50
"""Images on a page of a list."""

NUMBER: Final = "int(max=2147483647)"
"""Of an image, in a path: the ledger's numbers have 32 bits."""

Page = Callable[..., Response]
"""Answers a request: takes its query's arguments, and by name what its path has."""


@dataclass(frozen=True, slots=True)
class Browsed:
    """The run that is looked at, and what its pages are made with; safe to use by many threads at once."""

    run_id: int
    database: Database
    settings: Settings
    card: CardFields
    pictures: RunPictures
    templates: Environment

    def render(self, template: str, **content: object) -> Response:
        """Fill a template."""
        return Response(self.templates.get_template(template).render(content), mimetype="text/html")


class Pages(Protocol):
    """The pages and files of runs of one kind of answer."""

    def __init__(self, run: Browsed) -> None:
        """Take the run, which there is."""

    @property
    def pages(self) -> Mapping[str, Page]:
        """What answers, by the pattern of the path; that of the list is `/`."""
