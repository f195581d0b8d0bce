"""Copies of films as people make them: each kind changes a picture's greys, by a random generator."""

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.uint8]
Random = np.random.Generator


def encoded(film: Grey, random: Random) -> Grey:
    """Encode as JPEG of quality 40 to 95."""
    return _jpeg(film, int(random.integers(40, 96)))


def resized(film: Grey, random: Random) -> Grey:
    """Resize to 0.25 to 0.9 of the side, small pictures to 0.5 to 0.9, by one of three filters."""
    factor = random.uniform(0.25 if len(film) > 500 else 0.5, 0.9)
    way = [cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC][random.integers(3)]
    return grey(cv2.resize(film, None, fx=factor, fy=factor * random.uniform(0.97, 1.03), interpolation=way))


def brightened(film: Grey, random: Random) -> Grey:
    """Multiply by 0.7 to 1.3 and add -30 to 30; what leaves 0 to 255 is clipped."""
    return grey(film * random.uniform(0.7, 1.3) + random.uniform(-30, 30))


def with_gamma(film: Grey, random: Random) -> Grey:
    """Apply a gamma of 0.61 to 1.65."""
    return grey(255 * (film / 255) ** np.exp(random.uniform(-0.5, 0.5)))


def cropped(film: Grey, random: Random, most: float) -> Grey:
    """Take up to `most` of the side from each side, by itself."""
    (height, width), (top, bottom, left, right) = film.shape, random.uniform(0, most, 4)
    rows = slice(round(top * height), height - round(bottom * height))
    return film[rows, round(left * width) : width - round(right * width)]


def all_at_once(film: Grey, random: Random) -> Grey:
    """Crop by up to 2%, brighten, resize and encode."""
    changed = resized(brightened(cropped(film, random, 0.02), random), random)
    return _jpeg(changed, int(random.integers(60, 96)))


def annotated(film: Grey, random: Random) -> Grey:
    """Write a line of text over it."""
    height, width = film.shape
    place = (int(0.05 * width), int(height * random.uniform(0.1, 0.9)))
    font = cv2.FONT_HERSHEY_SIMPLEX
    return grey(
        cv2.putText(film.copy(), "ANNOT 12:34", place, font, width / 500, (255,), max(1, width // 200))
    )


def turned(film: Grey, random: Random) -> Grey:
    """Turn by up to 3 degrees."""
    height, width = film.shape
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), random.uniform(-3, 3), 1)
    return grey(cv2.warpAffine(film, turn, (width, height)))


KINDS: Final[dict[str, Callable[[Grey, Random], Grey]]] = {
    "JPEG, quality 40 to 95": encoded,
    "resized to 0.25 to 0.9": resized,
    "brightness and contrast, clipped": brightened,
    "gamma 0.6 to 1.65": with_gamma,
    "cropped by up to 2% of each side": lambda film, random: cropped(film, random, 0.02),
    "cropped by up to 4% of each side": lambda film, random: cropped(film, random, 0.04),
    "cropped by 2%, brightened, resized and JPEG": all_at_once,
    "inverted": lambda film, _: grey(255 - film),
    "a line of text over it": annotated,
    "local contrast evened (CLAHE)": lambda film, _: grey(cv2.createCLAHE(2.0, (8, 8)).apply(film)),
    "histogram equalised": lambda film, _: grey(cv2.equalizeHist(film)),
    "cropped by up to 8% of each side": lambda film, random: cropped(film, random, 0.08),
    "turned by up to 3 degrees": turned,
    "mirrored": lambda film, _: grey(film[:, ::-1]),
}


def _jpeg(film: Grey, quality: int) -> Grey:
    content = cv2.imencode(".jpg", film, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return grey(cv2.imdecode(content, cv2.IMREAD_GRAYSCALE))


def grey(values: object) -> Grey:
    """Round and clip to 0 to 255."""
    return np.asarray(values).clip(0, 255).round().astype(np.uint8)
