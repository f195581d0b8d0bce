"""What a person can do about a file that cannot be read."""

from typing import Final

SAVE_STATE_DICT: Final = (
    "save its arrays where it was trained, in Python: "
    '`import torch; torch.save(model.state_dict(), "weights.pth")`'
)

SAVE_KERAS: Final = 'save it where it was trained, in Python: `import keras; model.save("model.keras")`'

TORCH_MISSING: Final = (
    "in Nightread's folder run: "
    ".venv/bin/python -m pip install --constraint constraints.txt --editable '.[torch]'"
)

OPENVINO_MISSING: Final = (
    "in Nightread's folder run: "
    ".venv/bin/python -m pip install --constraint constraints.txt --editable '.[openvino]'; or "
    f"{SAVE_STATE_DICT}"
)
"""For ONNX graphs."""
