"""The commands `nightread db`: work on the database as a whole."""

import typer

from db.database import Database
from db.upgrade import upgrade as upgrade_database
from jobs.commands.session import quiet_settings
from jobs.console import say

app = typer.Typer(help="Create or upgrade the database's tables.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """Keep `upgrade` a command of its own: Typer takes a sole command for the whole group."""


@app.command()
def upgrade() -> None:
    """Create the tables and views, or upgrade them to this version.

    It is safe to run twice, and on two machines at once.

    Example: nightread db upgrade
    """
    database = Database(quiet_settings().database)
    upgrade_database(database)
    say(f"{database.where} is ready")
