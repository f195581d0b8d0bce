"""The section "DICOM films": what made greys of their values, counted."""

from typing import Final

from config.films import Greyscale
from db.answers import Rows, read_rows
from db.database import Connection

_MEANING: Final = {
    None: "in colour, as stored",
    Greyscale.VOI_LUT: "by their VOI LUT",
    Greyscale.WINDOW: "by their window",
    Greyscale.AS_STORED: "as stored: 8 bits, and no window",
    Greyscale.NO_WINDOW: "no window: by their smallest and largest value",
    Greyscale.BAD_WINDOW: "a window that cannot be used: by their smallest and largest value, or as stored",
    Greyscale.MINMAX: "by their smallest and largest value, as the card says",
    Greyscale.MAXBIT: "by what their bits can hold, as the card says",
    Greyscale.EQUALIZED: "equalised, as the card says",
}


def films(connection: Connection, run_id: int) -> Rows:
    """Count a run's scored DICOM films by what made their greys, the commonest first; `padded`: of these.

    Empty where no image is one.
    """
    rows = read_rows(
        connection,
        """
        SELECT greyscale, COUNT(*) AS images, SUM(CASE WHEN padded THEN 1 ELSE 0 END) AS padded
        FROM films WHERE run_id = :run_id
        GROUP BY greyscale
        """,
        run_id=run_id,
    )
    counted = [row | {"meaning": _MEANING[row["greyscale"]]} for row in rows]
    return sorted(counted, key=lambda row: (-row["images"], row["meaning"]))
