"""Pictures for the gate: chests drawn in a moment, and what a manifest of radiographs should not hold."""

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from workers.inference.formats.picture import Picture

Grey = NDArray[np.uint8]
Random = np.random.Generator

_SIDE: Final = 128


def chest(random: Random) -> Grey:
    """Draw two dark lungs, and a heart that lies to the right of the picture's middle."""
    y, x = np.mgrid[0:_SIDE, 0:_SIDE] / _SIDE
    x, y = x + random.normal(0, 0.02), y + random.normal(0, 0.02)
    wide = random.normal(1, 0.05)
    values = np.full((_SIDE, _SIDE), 190.0)
    for middle in (0.28, 0.72):
        values[((x - middle) / (0.16 * wide)) ** 2 + ((y - 0.45) / 0.33) ** 2 < 1] = 60
    values[((x - 0.58) / 0.15) ** 2 + ((y - 0.62) / (0.16 * wide)) ** 2 < 1] = 200
    values[(x < 0.06) | (x > 0.94)] = 10
    values = cv2.GaussianBlur(values, (0, 0), 3) * random.normal(1, 0.05) + random.normal(0, 3, values.shape)
    return values.clip(0, 255).astype(np.uint8)


def lateral(random: Random) -> Grey:
    """Draw a chest from the side: one lung, the spine behind, the heart in front."""
    y, x = np.mgrid[0:_SIDE, 0:_SIDE] / _SIDE
    values = np.full((_SIDE, _SIDE), 20.0)
    body = ((x - 0.5) / 0.36) ** 2 + ((y - 0.55) / 0.62) ** 2 < 1
    values[body] = 110 + 20 * random.random()
    values[((x - 0.5) / (0.24 + 0.04 * random.random())) ** 2 + ((y - 0.48) / 0.36) ** 2 < 1] = 60
    values[(abs(x - 0.76 - 0.05 * np.sin(3 * y)) < 0.05) & body] = 190
    values[((x - 0.36) / 0.14) ** 2 + ((y - 0.66) / 0.16) ** 2 < 1] = 170
    values[(y > 0.78 + 0.12 * (x - 0.5) ** 2) & body] = 200
    values = cv2.GaussianBlur(values, (0, 0), 2) + random.normal(0, 4, values.shape)
    drawn = values.clip(0, 255).astype(np.uint8)
    return drawn if random.random() < 0.5 else drawn[:, ::-1]


def photograph(random: Random) -> Grey:
    """Make a scene: clouds of the spectrum that photographs have, with things in front."""
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(_SIDE), np.fft.fftfreq(_SIDE)))
    frequency[0, 0] = 1
    clouds = np.fft.ifft2(np.fft.fft2(random.normal(size=(_SIDE, _SIDE))) / frequency ** random.uniform(1, 2))
    scene = Image.fromarray(_full_range(clouds.real))
    draw = ImageDraw.Draw(scene)
    for _ in range(int(random.integers(0, 12))):
        left, right = sorted(random.integers(0, _SIDE, 2).tolist())
        top, bottom = sorted(random.integers(0, _SIDE, 2).tolist())
        shape = draw.rectangle if random.random() < 0.5 else draw.ellipse
        shape((left, top, right + 1, bottom + 1), fill=int(random.integers(0, 256)))
    return np.asarray(scene)


def text(random: Random) -> Grey:
    """Write a page, dark on white or white on dark."""
    paper, ink = (255, 0) if random.random() < 0.7 else (0, 255)
    page = Image.new("L", (600, 800), paper)
    size = int(random.integers(12, 30))
    for line in range(20, 770, int(1.4 * size)):
        letters = "".join(chr(97 + letter) for letter in random.integers(0, 26, int(random.integers(10, 60))))
        ImageDraw.Draw(page).text((20, line), letters, fill=ink, font=ImageFont.load_default(size))
    return np.asarray(page)


def blank(random: Random) -> Grey:
    """Make noise, of one grey or rising, with or without a letter."""
    values = random.uniform(20, 235) + random.normal(0, random.uniform(1, 12), (512, 512))
    values += np.linspace(0, random.uniform(0, 60), 512)
    drawn = Image.fromarray(values.clip(0, 255).astype(np.uint8))
    if random.random() < 0.5:
        ImageDraw.Draw(drawn).text((30, 30), "L", fill=255, font=ImageFont.load_default(60))
    return np.asarray(drawn)


def cropped(real: Grey, random: Random) -> Grey:
    """Cut out a part: a third to a half of each side."""
    height, width = real.shape
    share = random.uniform(0.3, 0.5)
    top = int(random.uniform(0, 1 - share) * height)
    left = int(random.uniform(0, 1 - share) * width)
    return real[top : top + int(share * height), left : left + int(share * width)]


FORGED: Final[dict[str, Callable[[Grey, Random], Grey]]] = {
    "lateral": lambda _, random: lateral(random),
    "rotated by 90 degrees": lambda real, random: np.rot90(real, int(random.choice([1, 3]))),
    "rotated by 180 degrees": lambda real, _: np.rot90(real, 2),
    "inverted": lambda real, _: np.subtract(255, real, dtype=np.uint8),
    "photograph": lambda _, random: photograph(random),
    "text": lambda _, random: text(random),
    "blank": lambda _, random: blank(random),
    "cropped": cropped,
    "mirrored": lambda real, _: real[:, ::-1],
}
"""The kinds of what is no frontal radiograph as it should be, made of a real one or of nothing."""


def picture(values: Grey) -> Picture:
    """Return values as a decoded file's."""
    return Picture(np.ascontiguousarray(values))


def _full_range(values: NDArray[np.float64]) -> Grey:
    spread: NDArray[np.float64] = (values - values.min()) * (255 / np.ptp(values))
    return spread.astype(np.uint8)
