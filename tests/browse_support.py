"""A run behind the application of `nightread browse`, without a server."""

import html
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import update
from werkzeug.test import Client, TestResponse

from config.settings import Settings
from db.browsing.pages import Key, Place
from db.database import Database
from db.schema.archives import image
from workers.browse.app import Browser

PORT = 8765
BASE = f"http://127.0.0.1:{PORT}"
SCRIPT = "<script>alert(1)</script>"


class Site:
    """A run behind the application, as a browser with its address sees it."""

    def __init__(self, database: Database, folder: Path, run: int) -> None:
        self.database = database
        self.images = folder
        self.app = Browser(database, Settings(home=folder), run)
        self.app.listens_at(PORT)
        self._client = Client(self.app)

    def get(self, path: str = "", **request: Any) -> TestResponse:
        """Ask for what lies below the secret path."""
        return self.ask(self.app.path + path, **request)

    def ask(self, path: str, **request: Any) -> TestResponse:
        return self._client.open(path, **{"base_url": BASE, "method": "GET", **request})

    def following(self, path: str = "") -> str:
        """The path of the list's next page."""
        link = re.search(r'rel="next" href="([^"]+)"', self.get(path).text)
        assert link is not None
        return html.unescape(link[1]).removeprefix(self.app.path)

    def refuses(self, query: str, part: str) -> None:
        """Assert that a parameter is refused by its name, without what it said."""
        answer = self.get(f"?{query}")
        assert (answer.status_code, answer.mimetype) == (400, "text/plain")
        assert f"{part}:" in answer.text
        assert SCRIPT not in answer.text

    def names(self, path: str = "") -> list[str]:
        page = self.get(path)
        assert page.status_code == 200, page.text
        row = r'(?:image|case)/\d+[^"]*">(?:<img[^>]*>)?([^<]+)</a>\n<small>'
        return [html.unescape(name) for name in re.findall(row, page.text)]

    def rename(self, number: int, name: str) -> None:
        with self.database.write() as connection:
            connection.execute(update(image).where(image.c.id == number).values(image_index=name))


def walked(
    places: Callable[..., list[Place]],
    database: Database,
    of: object,
    wanted: object,
    after: Key | None = None,
    *,
    back: bool = False,
) -> Iterator[Place]:
    """Go through all pages of three rows of a list, whose places a module of `db.browsing` gives."""
    while True:
        with database.read_only() as connection:
            found = places(connection, of, wanted, after, 3, back=back)
        if not found:
            return
        yield from found
        after = found[-1].key
