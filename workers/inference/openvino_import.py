"""OpenVINO, loaded without what it sends to its makers."""

import sys
from types import ModuleType

from config.errors import ConfigError
from config.extras import install_command


def import_openvino() -> ModuleType:
    """Load OpenVINO into this process; ConfigError where it is not installed.

    By itself it reports each import and each conversion to its makers' server, unless somebody has opted out
    on this machine. Where the package that does so cannot be imported, it does without.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: importing it fails
    try:
        import openvino
    except ImportError as error:
        raise ConfigError(
            f"OpenVINO is not installed ({error}); run: {install_command('openvino')}; or set "
            "NIGHTREAD_ENGINE to tensorflow"
        ) from error
    module: ModuleType = openvino
    return module
