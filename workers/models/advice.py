"""What a person can do about a file that cannot be read."""

from typing import Final

from config.extras import install_command

SAVE_STATE_DICT: Final = (
    "save its arrays where it was trained, in Python: "
    '`import torch; torch.save(model.state_dict(), "weights.pth")`'
)

SAVE_KERAS: Final = 'save it where it was trained, in Python: `import keras; model.save("model.keras")`'

TORCH_MISSING: Final = f"run: {install_command('torch')}"

OPENVINO_MISSING: Final = f"run: {install_command('openvino')}; or {SAVE_STATE_DICT}"
"""For ONNX graphs."""
