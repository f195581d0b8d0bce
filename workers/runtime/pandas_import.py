"""pandas, loaded without Arrow, which a worker's child would keep."""

import sys
from importlib import import_module


def import_pandas() -> None:
    """Load pandas into this process without pyarrow, unless one of the two is loaded already.

    pandas imports pyarrow wherever it is installed, and no option of pandas prevents that: 35 MB for texts
    that are Python objects without it. pyarrow can be imported as ever afterwards, for a manifest in Parquet.
    No other thread may import it meanwhile.
    """
    if sys.modules.keys() & {"pandas", "pyarrow"}:
        return
    sys.modules["pyarrow"] = None  # type: ignore[assignment]  # importing it fails
    try:
        import_module("pandas")
    finally:
        del sys.modules["pyarrow"]
