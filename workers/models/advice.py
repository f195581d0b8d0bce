"""What a person can do about a file that cannot be read."""

from typing import Final

SAVE_STATE_DICT: Final = (
    "save its arrays where it was trained, in Python: "
    '`import torch; torch.save(model.state_dict(), "weights.pth")`'
)

TORCH_MISSING: Final = (
    "in Nightread's folder run: "
    ".venv/bin/python -m pip install --constraint constraints.txt --editable '.[torch]'"
)
