"""What to install for a part that is missing, as a command that works here."""

import re
import shlex
import sys
from importlib.metadata import requires


def install_command(name: str) -> str:
    """Return pip's command for a package of ours, or those of an extra, by this very Python.

    It names the packages themselves: Nightread is on no index, and its own folder may be gone.
    """
    marker = re.compile(rf"""^{name}\b|extra == ["']{name}["']""")
    wanted = [line.partition(";")[0].strip() for line in requires("nightread") or () if marker.search(line)]
    # Several extras may name the same package.
    return shlex.join([sys.executable, "-m", "pip", "install", *dict.fromkeys(wanted)])
