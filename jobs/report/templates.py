"""The templates of pages: whatever comes from files and databases is escaped, and nothing may be missing."""

from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_FOLDER: Final = Path(__file__).parent


def environment(folder: Path = _FOLDER) -> Environment:
    """Make what fills the templates of a folder, by default this one."""
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
