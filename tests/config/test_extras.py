"""The command that installs an extra names packages that an index has."""

import shlex
import sys

from config.extras import install_command


def test_the_command_is_of_this_python_and_names_the_packages_themselves() -> None:
    python, *words = shlex.split(install_command("openvino"))
    assert python == sys.executable
    assert words[:3] == ["-m", "pip", "install"]
    assert [word.partition(">")[0] for word in words[3:]] == ["openvino"]
