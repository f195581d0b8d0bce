"""Texts that act on terminals, markup and formats, as names and messages from outside may hold them."""

import random

PIECES = (
    *("a", "b", "/", ".", ":", ",", ";", "=", "+", "@", "%", "{}", "{0}", "%s", "%n", ":heart:", "\\", "'"),
    *("[/]", "[red]", "[/red]", "[link=x]", '"', "\u0645"),
    *(chr(code) for code in (*range(1, 32), *range(0x7F, 0xA0), 0xAD, 0x2028, 0x2029, 0xFEFF)),
    *"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f",
    *("\x1b[31m", "\x1b[2J", "\x1b]0;title\x07", "\x1b]52;c;aGk=\x07", "\x1bP", "\x9b5n", "\r\n"),
)


def strings(seed: int, number: int) -> list[str]:
    """Draw texts that are different from each other, each with something that acts on a terminal."""
    rng = random.Random(seed)
    return [
        "\x1b]0;" + "".join(rng.choices(PIECES, k=rng.randint(1, 12))) + f"\x07{place}"
        for place in range(number)
    ]
