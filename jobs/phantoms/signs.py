"""How the findings' signs are painted, on a film that has its chest and not yet its body."""

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from config.findings import FINDINGS
from jobs.phantoms.anatomy import SIDE, STROKES, Points, band, between, mirror, spline
from jobs.phantoms.film import HALF, Film, smooth_noise
from jobs.phantoms.places import Sign, pleura, signs_of

_MIDDLE_OF_EDGE: Final = 0.5
"""The value of a mask in the middle of its soft edge."""

_WELL_INSIDE_LUNG: Final = 0.6


def paint_signs(film: Film) -> None:
    """Paint the signs of the chest's findings, each in its own stream of chance."""
    for sign in signs_of(film.chest):
        paint_sign = _SIGNS.get(sign.finding)
        if paint_sign is not None:
            paint_sign(film, sign, film.chest.rng(STROKES, FINDINGS.index(sign.finding)))


def _sign_atelectasis(film: Film, sign: Sign, rng: np.random.Generator) -> None:
    """Lay plates and a wedge of collapsed lung above the raised dome."""
    chest, roll = film.chest, sign.roll
    dome = chest.dome[roll.side > 0] - chest.raised[roll.side > 0]
    start = between(135, 175, roll.u)
    wedge = np.array(
        [(start + 20, dome - 62), (start + 150, dome - 30), (start + 190, dome + 26), (start - 20, dome + 30)]
    )
    film.opacify(
        chest.to_pixels(mirror(wedge, roll.side)), between(0.32, 0.52, roll.strength), blur=9, hide=0.5
    )
    for lift in (66, 100):
        slope = rng.uniform(-46, 46)
        plate = spline(
            (
                (start, dome - lift + slope / 2),
                (start + 80, dome - lift - 4),
                (start + 165, dome - lift - slope / 2),
            )
        )
        ribbon = band(plate, np.linspace(5.5, 9.0, len(plate)))
        film.opacify(chest.to_pixels(mirror(ribbon, roll.side)), between(0.36, 0.6, roll.strength), blur=3)


def _sign_effusion(film: Film, sign: Sign, _rng: np.random.Generator) -> None:
    """Hide the costophrenic angle under fluid that stands higher at the wall."""
    (outline,) = sign.outlines
    film.blend(outline, 0.92, between(0.88, 0.99, sign.roll.strength), blur=9)
    window, mask = film.mask(outline, 9)
    film.vascular[window] *= 1 - mask


def _sign_infiltration(film: Film, sign: Sign, rng: np.random.Generator) -> None:
    """Scatter soft patches with aerated lung between them."""
    (outline,) = sign.outlines
    patches = smooth_noise(rng, 26, low=-0.2, high=1.0)
    film.opacify(outline, between(0.34, 0.56, sign.roll.strength), blur=26, weave=patches)


def _sign_ball(film: Film, sign: Sign, _rng: np.random.Generator) -> None:
    """Lay a ball into the lung: densest in its middle, with an edge."""
    (outline,) = sign.outlines
    amount = between(0.34, 0.54, sign.roll.strength)
    centre = outline.mean(axis=0)
    film.opacify(outline, amount * 0.7, blur=3.5, hide=0.6)
    film.opacify(centre + (outline - centre) * 0.72, amount * 0.5, blur=6)


def _sign_pneumonia(film: Film, sign: Sign, rng: np.random.Generator) -> None:
    """Fog a lobe in which air-filled bronchi stay dark."""
    (outline,) = sign.outlines
    film.opacify(outline, between(0.46, 0.68, sign.roll.strength), blur=34, hide=0.9)
    low, high = outline.min(axis=0), outline.max(axis=0)
    ink = int(between(46, 66, sign.roll.strength))
    side = sign.roll.side
    root = np.array([low[0] if side > 0 else high[0], low[1]]) + (high - low) * [0.14 * side, 0.18]
    for angle in np.linspace(0.15, 1.25, 5):
        reach = (high - low).mean() * rng.uniform(0.52, 0.66)
        bend = angle + np.array([-0.1, 0.0, 0.1, 0.18]) * rng.choice((-1.0, 1.0))
        steps = np.cumsum(np.stack([side * np.cos(bend), np.sin(bend)], axis=1) * (reach / 4), axis=0)
        film.stroke(film.dark, np.concatenate([root[None], root + steps]), rng.uniform(6, 9), ink)
    film.dark = np.asarray(cv2.GaussianBlur(film.dark, (0, 0), 1.8), np.uint8)


def _sign_pneumothorax(film: Film, sign: Sign, _rng: np.random.Generator) -> None:
    """Let air outside the lung: darker, no vessels, a thin line where the lung ends."""
    (outline,) = sign.outlines
    window, mask = film.mask(outline, 3)
    mask = mask * film.lungs[window]
    dark = np.float32(between(0.62, 0.86, sign.roll.strength)) * mask
    film.density[window] += dark * (np.float32(0.07) - film.density[window])
    film.vascular[window] *= 1 - mask
    line = film.chest.to_pixels(mirror(pleura(sign.roll), sign.roll.side))
    film.stroke(film.lines, line, 4, int(between(48, 72, sign.roll.strength)))


def _sign_consolidation(film: Film, sign: Sign, _rng: np.random.Generator) -> None:
    """Fill a lobe: dense, even, and cut off sharply at the fissure."""
    (outline,) = sign.outlines
    chest, roll = film.chest, sign.roll
    fissure = between(345, 410, roll.v)
    above = np.array([(40, 40), (460, 40), (460, fissure + 14), (70, fissure - 22)])
    window, sharp = film.mask(chest.to_pixels(mirror(above, roll.side)), 2)
    weave = np.zeros((HALF, HALF), np.float32)
    weave[window] = sharp
    soft = outline + (outline - outline.mean(axis=0)) * [0.0, 0.12]
    film.opacify(soft, between(0.72, 0.92, roll.strength), blur=13, weave=weave, hide=1.0)


def _sign_edema(film: Film, sign: Sign, rng: np.random.Generator) -> None:
    """Lay haze like a butterfly's wings, and short Kerley lines at the wall of both bases."""
    chest, strength = film.chest, sign.roll.strength
    for side, outline in zip((-1, 1), sign.outlines, strict=True):
        film.opacify(outline[:-1], between(0.38, 0.6, strength), blur=46, hide=0.5)
        for y in np.arange(556, 640, 13.0) + rng.uniform(-2, 2):
            wall = float(chest.lateral(np.array([y]))[0]) - 7
            line = np.array([(wall - rng.uniform(34, 58), y + rng.uniform(-3, 3)), (wall, y)])
            film.stroke(film.lines, chest.to_pixels(mirror(line, side)), 3, int(between(44, 66, strength)))


def _sign_fibrosis(film: Film, sign: Sign, rng: np.random.Generator) -> None:
    """Spread a net of coarse meshes over the rims of both bases."""
    ink = int(between(56, 84, sign.roll.strength))
    rows, columns = np.mgrid[0:SIDE:17, 0:SIDE:20].astype(np.float64)
    columns[1::2] += 10
    knots = np.stack([columns, rows], axis=2) + rng.uniform(-4.5, 4.5, (*rows.shape, 2))
    for outline in sign.outlines:
        film.opacify(outline, 0.1, blur=16)
        window, mask = film.mask(outline, 0)
        inside = np.zeros((HALF, HALF), bool)
        inside[window] = (mask > _MIDDLE_OF_EDGE) & (film.lungs[window] > _WELL_INSIDE_LUNG)
        _net(film, knots, inside, ink)


def _net(film: Film, knots: Points, inside: NDArray[np.bool_], ink: int) -> None:
    """Draw the net's threads whose first knot is inside."""
    at = np.clip(knots / 2, 0, HALF - 1).astype(int)
    for i, j in np.argwhere(inside[at[..., 1], at[..., 0]]):
        if not 0 < i < len(knots) - 1 or not 0 < j < knots.shape[1] - 1:
            continue
        below = j + (i % 2)
        # Bricks: a thread along the row, one down at every second knot. The jitter makes a mesh of them.
        film.stroke(film.lines, knots[i, [j, j + 1]], 3, ink)
        film.stroke(film.lines, np.stack([knots[i, j], knots[i + 1, below - (j % 2)]]), 3, ink)


def _sign_thickening(film: Film, sign: Sign, _rng: np.random.Generator) -> None:
    """Line the wall with a bright lumpy band."""
    (outline,) = sign.outlines
    film.blend(outline, 0.8, between(0.6, 0.95, sign.roll.strength), blur=5)


def _sign_hernia(film: Film, sign: Sign, _rng: np.random.Generator) -> None:
    """Lay a part of the stomach above the diaphragm: a wall, gas, and under it a level of fluid."""
    (outline,) = sign.outlines
    centre, plain = outline.mean(axis=0), sign.roll.strength
    film.blend(outline, 0.99, between(0.75, 0.95, plain), blur=3)
    radius = np.ptp(outline, axis=0) / 2
    angle = np.linspace(np.pi, 2 * np.pi, 24)
    gas = centre + np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius * 0.82 + [0, 0.22 * radius[1]]
    film.blend(gas, between(0.52, 0.38, plain), 0.95, blur=4)


_SIGNS: Final[dict[str, Callable[[Film, Sign, np.random.Generator], None]]] = {
    "Atelectasis": _sign_atelectasis,
    "Effusion": _sign_effusion,
    "Infiltration": _sign_infiltration,
    "Mass": _sign_ball,
    "Nodule": _sign_ball,
    "Pneumonia": _sign_pneumonia,
    "Pneumothorax": _sign_pneumothorax,
    "Consolidation": _sign_consolidation,
    "Edema": _sign_edema,
    "Fibrosis": _sign_fibrosis,
    "Pleural_Thickening": _sign_thickening,
    "Hernia": _sign_hernia,
}
"""Cardiomegaly and Emphysema are not here: they are a change of the chest's shape."""
