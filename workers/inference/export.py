"""The process that exports a network for OpenVINO: it loads TensorFlow, and is gone when the graph is made.

Started as `python -m workers.inference.export MODULE:FUNCTION`, with the function's arguments as JSON on
standard input; writes the length of the graph's description, a line break, the description and the constants
to standard output. A model that is not what its card says is refused with exit code 2 and a last line that
says why.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from pkgutil import resolve_name

from config.errors import ConfigError
from workers.inference.graphs import EXIT_REFUSED
from workers.inference.openvino_import import import_openvino


def main() -> None:
    """Export one graph."""
    # What a library prints would stand among the graph's bytes.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    arguments = json.load(sys.stdin)
    try:
        function = resolve_name(sys.argv[1])(**arguments)
    except ConfigError as error:
        sys.stderr.write(f"\n{' '.join(str(error).split())}\n")
        sys.exit(EXIT_REFUSED)
    ov = import_openvino()
    with tempfile.TemporaryDirectory(prefix="nightread-graph-") as folder, output:
        path = Path(folder) / "graph.xml"
        # Not in float16, as is usual: scores would be off by more than engines may differ.
        ov.save_model(ov.convert_model(function), path, compress_to_fp16=False)
        xml = path.read_bytes()
        output.write(b"%d\n" % len(xml))
        output.write(xml)
        output.write(path.with_suffix(".bin").read_bytes())


if __name__ == "__main__":
    main()
