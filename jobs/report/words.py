"""Names as a reader would say them, where rows and files have codes."""

import re
from typing import Final

_SEX: Final = {"F": "Women", "M": "Men", "O": "Other sex"}
_VIEW: Final = {"PA": "PA view", "AP": "AP view", "LATERAL": "Lateral view"}


def finding_in_words(name: str) -> str:
    """Return a finding's name without underscores: `Pleural_Thickening` is Pleural thickening."""
    first, *rest = name.split("_")
    return " ".join((first, *(word.lower() for word in rest)))


def subgroup_in_words(name: str) -> str:
    """Return a subgroup's name in words: `age=0-17` is 0-17 years; a name that is none of ours stays."""
    kind, _, value = name.partition("=")
    if name == "all":
        return "All images"
    if kind == "sex":
        return _SEX.get(value, f"Sex {value}")
    if kind == "view":
        return _VIEW.get(value, f"View {value}")
    if kind == "age" and (band := re.fullmatch(r"(\d+)-(\d+)", value)):
        return f"{band[1]}\N{EN DASH}{band[2]} years"
    if kind == "age" and value.endswith("+"):
        return f"{value.removesuffix('+')} years and older"
    return name
