"""The command's first lines: what Python finds under the names of our packages must be ours.

A folder on PYTHONPATH comes before the installed packages, and its `workers.py` would be loaded in place of
Nightread's own.
"""

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NoReturn

PACKAGES: Final = ("config", "db", "jobs", "workers")

_EXIT_USAGE: Final = 2


def main() -> None:
    """Run the command, unless another file hides one of its packages: it is named, with the way out."""
    here = Path(__file__).resolve().parent
    for name in PACKAGES:
        spec = find_spec(name)
        found = (
            None if spec is None else spec.origin or next(iter(spec.submodule_search_locations or ()), None)
        )
        if found is None or Path(found).resolve() != here / name / "__init__.py":
            _refuse(name, found)
    # Only now: it would be theirs.
    from workers.commands.main import main as run  # noqa: PLC0415

    run()


def _refuse(name: str, found: str | None) -> NoReturn:
    sys.stderr.write(
        f"error: {found} hides Nightread's own {name!r}: take its folder out of PYTHONPATH, as in: "
        "env -u PYTHONPATH nightread ...\n"
    )
    raise SystemExit(_EXIT_USAGE)


if __name__ == "__main__":
    main()
