"""The film a chest is painted on, and the chest without its findings.

The picture is a sum of densities, as attenuation is along a ray, seen through a tone curve, as on film.
Smooth shadows are painted at half resolution, lines and bones at full resolution. `paint_chest` comes first,
then the signs of `jobs.phantoms.signs`, then `paint_body`; `develop` turns it into the picture.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from jobs.phantoms.anatomy import EXPOSURE, PATIENT, SIDE, Chest, Points, band, ellipse, mirror, spline

Density = NDArray[np.float32]
Picture = NDArray[np.uint8]

HALF: Final = SIDE // 2
"""Width and height of the layers of smooth shadows in pixels."""

_INK: Final = 0.5 / 255
"""Density of one count in the 8-bit layers of lines and bones."""

_FLUID: Final = np.float32(0.92)

_RIBS_IN_FRONT: Final = 8
"""The lowest ribs do not reach the front."""

_TORSO: Final = (
    (94, -60), (98, 40), (124, 88), (210, 118), (330, 145), (440, 190), (520, 265), (560, 360),
    (530, 450), (482, 540), (470, 700), (476, 900), (484, 1100),
)  # fmt: skip


class Film:
    """The layers one picture is painted in."""

    def __init__(self, chest: Chest) -> None:
        self.chest = chest
        self.density: Density = np.full((HALF, HALF), 0.62, np.float32)
        """Smooth shadows at half resolution: 0 is air, 1 the densest soft tissue."""
        self.lungs: Density = np.zeros((HALF, HALF), np.float32)
        """0..1, where there is lung; opacities of the lung stay inside."""
        self.vascular: Density = np.zeros((HALF, HALF), np.float32)
        """0..1, how much of the vessels' drawing is seen."""
        self.bright: Picture = np.zeros((SIDE, SIDE), np.uint8)
        """Lines and bones at full resolution; 255 counts are a density of 0.5."""
        self.dark: Picture = np.zeros((SIDE, SIDE), np.uint8)
        """As `bright`, subtracted."""
        self.lines: Picture = np.zeros((SIDE, SIDE), np.uint8)
        """As `bright`, for the lines of signs, so that they add to the bones they cross."""
        self.vessels: Picture = np.zeros((SIDE, SIDE), np.uint8)
        """As `bright`, seen as far as `vascular` says."""

    def mask(self, outline: Points, blur: float) -> tuple[tuple[slice, slice], Density]:
        """Return the window that an outline touches, and there its mask 0..1, soft by `blur` pixels."""
        half, soft = outline / 2, blur / 2
        margin = 3 * soft + 2
        low = np.clip(np.floor(half.min(axis=0) - margin), 0, HALF - 1).astype(int)
        high = np.clip(np.ceil(half.max(axis=0) + margin), low + 1, HALF).astype(int)
        mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        _fill(mask, half - low, 255)
        if soft > 0:
            # Two box blurs are near a Gaussian of this deviation, at a cost that does not grow with it.
            size = 2 * round(math.sqrt(6 * soft**2 + 1) / 2) + 1
            mask = np.asarray(cv2.blur(cv2.blur(mask, (size, size)), (size, size)), np.uint8)
        return (slice(low[1], high[1]), slice(low[0], high[0])), mask.astype(np.float32) / np.float32(255)

    def blend(self, outline: Points, level: float, alpha: float = 1.0, *, blur: float = 4) -> None:
        """Pull the density towards `level` inside the outline."""
        window, mask = self.mask(outline, blur)
        self.density[window] += np.float32(alpha) * mask * (np.float32(level) - self.density[window])

    def add(self, outline: Points, amount: float, *, blur: float = 4) -> None:
        """Add (or with a negative amount take) density inside the outline."""
        window, mask = self.mask(outline, blur)
        self.density[window] += np.float32(amount) * mask

    def opacify(
        self, outline: Points, amount: float, *, blur: float, weave: Density | None = None, hide: float = 0.0
    ) -> None:
        """Pull lung towards the density of fluid: all the way where `amount` is 1.

        `weave` (512, 512) patterns it; `hide` of the vessels vanish in it. Over the heart, which has that
        density already, little is seen, as on film.
        """
        window, mask = self.mask(outline, blur)
        mask = mask * self.lungs[window]
        if weave is not None:
            mask = mask * weave[window]
        self.density[window] += np.float32(amount) * mask * (_FLUID - self.density[window])
        self.vascular[window] *= 1 - np.float32(hide) * mask

    def stroke(self, layer: Picture, curve: Points, width: float, ink: int) -> None:
        """Draw an antialiased line (N, 2) in pixels; where lines cross, the later one wins."""
        cv2.polylines(layer, [_fixed(curve)], False, ink, max(1, round(width)), cv2.LINE_AA, 4)


def _fixed(points: Points) -> NDArray[np.int32]:
    """Return points as OpenCV's fixed-point numbers with four fractional bits."""
    return np.round(points * 16).astype(np.int32)


def _fill(layer: Picture, outline: Points, ink: int) -> None:
    cv2.fillPoly(layer, [_fixed(outline)], ink, cv2.LINE_AA, 4)


def smooth_noise(rng: np.random.Generator, cells: int, *, low: float, high: float) -> Density:
    """Return a smooth random field (512, 512) between 0 and 1, with `cells` cells per side."""
    field = cv2.resize(
        rng.standard_normal((cells, cells), np.float32), (HALF, HALF), interpolation=cv2.INTER_CUBIC
    )
    return np.asarray(np.clip((field - np.float32(low)) / np.float32(high - low), 0, 1), np.float32)


def paint_chest(film: Film) -> None:
    """Paint the inside of the chest, as it is without a sign."""
    _paint_lungs(film)
    _paint_middle(film)
    _paint_abdomen(film)
    _paint_vessels(film)
    _paint_bones(film)


def _both(curve: Sequence[tuple[float, float]]) -> Points:
    """Return the closed outline of a curve and its mirror image."""
    side = spline(curve)
    return np.concatenate([side, mirror(side, -1)[::-1]])


def _paint_lungs(film: Film) -> None:
    chest = film.chest
    # The trunk grows denser downwards, so that the flanks meet the abdomen without a seam.
    lower = np.array([(-760, 655), (760, 655), (760, 1300), (-760, 1300)])
    film.blend(chest.to_pixels(lower), 0.93, 0.97, blur=95)
    for side in (-1, 1):
        outline = chest.to_pixels(chest.lung(side))
        window, mask = film.mask(outline, 4)
        film.lungs[window] = np.maximum(film.lungs[window], mask)
        window, mask = film.mask(outline, 7)
        film.density[window] += (
            np.float32(0.94) * mask * (np.float32(chest.lung_level) - film.density[window])
        )
        # The lung is thicker near the root and below than at its rim.
        film.add(chest.to_pixels(ellipse(side * 130, 430, 90, 190)), 0.07, blur=70)
        film.add(chest.to_pixels(ellipse(side * 105, 405, 30, 62)), 0.10, blur=26)
    rng = chest.rng(PATIENT, 1)
    film.vascular[:] = film.lungs * np.float32(chest.vessel_level)
    film.density += film.lungs * np.float32(0.035) * (smooth_noise(rng, 40, low=-2, high=2) - np.float32(0.5))
    film.density += (
        film.lungs * np.float32(0.045) * (smooth_noise(rng, 150, low=-2, high=2) - np.float32(0.5))
    )
    if chest.breast:
        for side in (-1, 1):
            breast = ellipse(side * 245, 640, 165, 95 + 60 * chest.breast)
            film.add(chest.to_pixels(breast), 0.10 * chest.breast, blur=14)


def _paint_middle(film: Film) -> None:
    """Paint mediastinum, spine, windpipe and heart."""
    chest = film.chest
    shift = np.array([chest.exposure.yaw, 0.0])
    middle = _both(((92, -60), (86, 60), (64, 150), (56, 260), (62, 380), (60, 560), (62, 1090)))
    film.blend(chest.to_pixels(middle + shift), 0.74, 0.85, blur=14)
    heart = chest.to_pixels(chest.heart_outline())
    film.blend(heart, 0.82, 0.86, blur=7)
    window, mask = film.mask(heart, 10)
    film.vascular[window] *= 1 - np.float32(0.75) * mask
    film.add(chest.to_pixels(_both(((34, -60), (36, 400), (40, 1090))) + shift), 0.07, blur=7)
    for y in np.arange(20, 1060, 47.0):
        disc = np.array([(-36, y), (36, y + 2), (36, y + 9), (-36, y + 7)]) + shift
        film.add(chest.to_pixels(disc), -0.045, blur=3)
        film.add(chest.to_pixels(ellipse(shift[0], y + 28, 6, 9)), 0.04, blur=3)
    windpipe = band(spline(((0, -40), (2, 120), (6, 250), (4, 330))), 17)
    film.add(chest.to_pixels(windpipe + shift), -0.13, blur=7)
    for side in (-1, 1):
        bronchus = band(spline(((4, 318), (side * 40, 352), (side * 84, 384))), 12)
        film.add(chest.to_pixels(bronchus + shift), -0.09, blur=8)


def _paint_abdomen(film: Film) -> None:
    chest = film.chest
    left, right = chest.diaphragm(-1), chest.diaphragm(1)
    below = np.concatenate([left, right[::-1], [(415, 1120), (-415, 1120)]])
    film.blend(chest.to_pixels(below), 0.93, 0.94, blur=5)
    rng = chest.rng(EXPOSURE, chest.streams[2], 1)
    gas = ellipse(
        rng.uniform(130, 230), chest.dome[1] + rng.uniform(62, 100), rng.uniform(40, 85), rng.uniform(22, 42)
    )
    film.add(chest.to_pixels(gas), -rng.uniform(0.05, 0.22), blur=9)


def paint_body(film: Film) -> None:
    """Paint shoulders and arms, after everything else, and cut everything off at the skin."""
    chest = film.chest
    wider = [1 + 0.10 * chest.habitus, 1]
    torso = chest.to_pixels(_both(_TORSO) * wider)
    skin: Density = np.zeros((HALF, HALF), np.float32)
    for side in (-1, 1):
        blade = (
            (205, 205),
            (300, 235),
            (430, 215),
            (470, 240),
            (430, 300),
            (405, 420),
            (372, 520),
            (318, 430),
            (262, 300),
        )
        film.add(
            chest.to_pixels(mirror(spline(blade, closed=True) + np.array([34.0, 0.0]), side)), 0.05, blur=5
        )
        film.add(chest.to_pixels(ellipse(side * 474, 238, 44, 48)), 0.07, blur=9)
        arm = band(spline(((470, 240), (520, 420), (560, 640), (580, 1120))), 66 + 20 * chest.habitus)
        window, mask = film.mask(chest.to_pixels(mirror(arm, side)), 22)
        skin[window] = np.maximum(skin[window], np.float32(0.8) * mask)
    window, mask = film.mask(torso, 26)
    skin[window] = np.maximum(skin[window], mask)
    # Above the shoulders and out at the flanks the body is thin.
    film.add(chest.to_pixels(_both(((190, -60), (190, 90), (560, 230), (560, -60)))), -0.10, blur=70)
    film.density *= skin


def _paint_vessels(film: Film) -> None:
    """Draw the vessels' trees, from the roots of the lungs outwards."""
    chest = film.chest
    rng = chest.rng(PATIENT, 2)
    for side in (-1, 1):
        for angle in np.linspace(-1.35, 1.35, 9):
            root = np.array([82 + rng.uniform(0, 16), 400 + 34 * angle])
            twig = _Twig(root, float(angle) + rng.normal(0, 0.1), 7.5 + 2 * rng.uniform(), 3)
            for curve, width in sorted(_branches(twig, rng), key=lambda branch: branch[1]):
                line = chest.to_pixels(mirror(curve, side))
                film.stroke(film.vessels, line, width, int(13 + 5.5 * width))
    film.vessels = np.asarray(cv2.GaussianBlur(film.vessels, (0, 0), 1.3), np.uint8)


class _Twig(NamedTuple):
    """Where a vessel starts, and how many times its branches fork."""

    root: Points
    angle: float
    width: float
    forks: int


def _branches(twig: _Twig, rng: np.random.Generator) -> list[tuple[Points, float]]:
    """Return the curves (5, 2) and widths of a vessel and all its branches."""
    length = rng.uniform(62, 100) * (0.75 + 0.09 * twig.forks)
    turns = twig.angle + np.cumsum(rng.normal(0.03 * np.sign(twig.angle), 0.12, 4))
    steps = np.stack([np.cos(turns), np.sin(turns)], axis=1) * (length / 4)
    curve = np.concatenate([twig.root[None], twig.root + np.cumsum(steps, axis=0)])
    found = [(curve, twig.width)]
    if twig.forks:
        for turn in (rng.uniform(0.15, 0.45), -rng.uniform(0.15, 0.55)):
            width = twig.width * rng.uniform(0.55, 0.72)
            found += _branches(_Twig(curve[-1], float(turns[-1]) + turn, width, twig.forks - 1), rng)
    return found


def _paint_bones(film: Film) -> None:
    """Draw ribs behind and in front and the collar bones, each with a bright rim."""
    chest = film.chest
    front = np.zeros((SIDE, SIDE), np.uint8)
    for side in (-1, 1):
        for number in range(10):
            y = 112 + number * chest.rib_pitch * (1 + 0.012 * number)
            behind, ahead = _rib(chest, number, y)
            _bone(film.bright, chest.to_pixels(mirror(behind, side)), 10.5 + 0.25 * number, 25, 30)
            if number < _RIBS_IN_FRONT:
                _bone(front, chest.to_pixels(mirror(ahead, side)), 10.5, 15, 14)
        collar = spline(((34, 216), (110, 198), (220, 172), (330, 148), (430, 136), (462, 140)))
        collar += [chest.exposure.yaw * 0.5, side * chest.exposure.yaw * 0.4]
        _bone(front, chest.to_pixels(mirror(collar, side)), 14, 40, 30)
    ribs = cv2.add(cv2.GaussianBlur(film.bright, (0, 0), 1.4), cv2.GaussianBlur(front, (0, 0), 1.6))
    film.bright = np.asarray(ribs, np.uint8)


def _rib(chest: Chest, number: int, y: float) -> tuple[Points, Points]:
    """Return a rib's curve from the spine to the chest wall, and from there to the front."""
    drop = 26 + 8.5 * number
    turn_y = y + drop + 34
    wall = float(chest.lateral(np.array([turn_y]))[0]) + 6
    behind = (
        (34, y + 8),
        (0.30 * wall, y - 10),
        (0.62 * wall, y + 0.18 * drop),
        (0.88 * wall, y + 0.72 * drop),
    )
    ahead = (
        (wall, turn_y),
        (0.93 * wall, turn_y + 46),
        (0.72 * wall, turn_y + 84),
        (0.5 * wall, turn_y + 98),
    )
    return spline((*behind, (wall, turn_y))), spline(ahead)


def _bone(layer: Picture, curve: Points, half_width: float, body: int, rim: int) -> None:
    _fill(layer, band(curve, half_width), body + rim)
    _fill(layer, band(curve, half_width - 3.2), body)


def develop(film: Film) -> Picture:
    """Return the picture (1024, 1024) uint8: all layers, the tone curve, grain and a lead letter."""
    pose = film.chest.exposure
    seen = cv2.resize((film.vascular * 255).astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    vessels = cv2.multiply(film.vessels, seen, scale=1 / 255)
    bright = cv2.add(cv2.add(film.bright, vessels), film.lines)
    ink = cv2.addWeighted(bright, _INK, film.dark, -_INK, 0, dtype=cv2.CV_32F)
    density: Density = np.asarray(
        cv2.resize(film.density, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR), np.float32
    )
    # Film flattens where it is bright: bones and vessels fade into heart and abdomen.
    density += ink * (np.float32(1.3) - density)
    density *= np.asarray(1 + pose.curve - np.float32(pose.curve) * density, np.float32)
    density *= np.float32(pose.gain)
    rng = film.chest.rng(EXPOSURE, film.chest.streams[2], 2)
    density += rng.standard_normal((SIDE, SIDE), np.float32) * np.float32(pose.grain)
    density += np.float32(pose.black + 0.5)
    picture = np.clip(density, 0, 255).astype(np.uint8)
    place = (int(rng.integers(880, 960)), int(rng.integers(50, 110)))
    cv2.putText(picture, "L", place, cv2.FONT_HERSHEY_SIMPLEX, 1.5, 238, 5, cv2.LINE_AA)
    return picture
