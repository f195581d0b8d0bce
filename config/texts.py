"""Text that came from outside, as terminals and logs may be given it."""

from collections.abc import Callable


def escaped(text: str, is_safe: Callable[[str], bool]) -> str:
    """Return a text whose unsafe letters are shown by their codes, as Python writes them.

    A text that `str.isprintable` is returned as it is.
    """
    if text.isprintable():
        return text
    return "".join(
        letter if is_safe(letter) else letter.encode("unicode_escape").decode("ascii") for letter in text
    )
