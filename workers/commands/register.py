"""Writing a new model to the database's table `model`, for the commands that make one."""

import shutil

from config.cards.model import Card, Model
from db.database import Database
from db.runs import ModelFacts, find_or_write_model


def register(database: Database, model: Model[Card]) -> int:
    """Write a model to the database's table `model` before any run has used it; returns its id there.

    Its folder is removed if the database cannot take it, so that the model is in both or in neither.
    """
    try:
        with database.write() as connection:
            return find_or_write_model(connection, ModelFacts.of(model.card))
    except BaseException:
        shutil.rmtree(model.folder, ignore_errors=True)
        raise
