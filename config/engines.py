"""The engines that run networks, by the names that people choose them by."""

from typing import Literal

EngineKind = Literal["tensorflow", "openvino", "openvino-bf16"]

EngineChoice = Literal["auto", "tensorflow", "openvino", "openvino-bf16"]
"""As the settings have it; `auto` is the engine that suits the machine: `config.machine.engine_of`."""
