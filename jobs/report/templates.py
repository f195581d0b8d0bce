"""The templates of pages: whatever comes from files and databases is escaped, and nothing may be missing."""

import base64
import hashlib
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_FOLDER: Final = Path(__file__).parent

SCRIPT: Final = (_FOLDER / "page.js").read_text(encoding="utf-8")
"""What a report's page does beyond being read: its tables are sorted, its heatmaps fade."""

SCRIPT_HASH: Final = f"sha256-{base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()}"
"""By which a browser knows the only script that it may run on the page (Content Security Policy)."""


def environment(*folders: Path) -> Environment:
    """Make what fills the templates of folders, and of this one."""
    return Environment(
        loader=FileSystemLoader([*folders, _FOLDER]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
