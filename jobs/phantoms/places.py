"""Where the signs of a chest's findings are: their outlines, and the boxes that go into `boxes.csv`.

A finding's box is the bounding rectangle of the very outline that `jobs.phantoms.signs` paints its sign with,
so box and sign cannot drift apart.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from jobs.phantoms.anatomy import LATERAL, SIDE, Chest, Points, Roll, between, ellipse, mirror, spline

_HEART_TOP: Final = 300
"""Height where the heart begins to narrow the lung beside it."""

_GREAT_VESSELS_END: Final = 400
"""Height below which the outline is the heart's and not the great vessels'."""

_LARGEST_SMOOTH: Final = 40
"""Radius above which a ball has lobes, pixels of the picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Sign:
    """A finding's sign in one picture: its random numbers, and its outlines (N, 2) in pixels."""

    finding: str
    roll: Roll
    outlines: tuple[Points, ...]

    def boxes(self) -> tuple[tuple[int, int, int, int], ...]:
        """Return (x, y, width, height) of every outline, whole pixels inside the picture."""
        found = []
        for outline in self.outlines:
            low = np.clip(np.floor(outline.min(axis=0)), 0, SIDE - 1).astype(int)
            high = np.clip(np.ceil(outline.max(axis=0)), low + 1, SIDE).astype(int)
            found.append((int(low[0]), int(low[1]), int(high[0] - low[0]), int(high[1] - low[1])))
        return tuple(found)


def signs_of(chest: Chest) -> tuple[Sign, ...]:
    """Return the signs of the chest's findings with their outlines in pixels."""
    return tuple(
        Sign(finding, roll, tuple(chest.to_pixels(outline) for outline in _PLACES[finding](chest, roll)))
        for finding, roll in chest.rolls
    )


def _place_atelectasis(chest: Chest, roll: Roll) -> list[Points]:
    top = chest.dome[roll.side > 0] - chest.raised[roll.side > 0] - 120
    rows = np.array([top, chest.floor(roll.side) - 20])
    wall = chest.lateral(rows) - 8
    box = np.array([(120, rows[0]), (wall[0], rows[0]), (wall[1], rows[1]), (120, rows[1])])
    return [mirror(box, roll.side)]


def _place_effusion(chest: Chest, roll: Roll) -> list[Points]:
    floor = chest.floor(roll.side)
    level = chest.dome[roll.side > 0] - between(20, 150, roll.size)
    high = level - 85
    wall_y = np.linspace(floor, high, 20)
    wall = np.stack([chest.lateral(wall_y) + 9, wall_y], axis=1)
    wall_x = wall[-1, 0]
    inner = 70 if roll.side < 0 else 130  # on the left the heart lies in front
    # The meniscus: fluid climbs the chest wall.
    surface = spline(
        (
            (wall_x, high),
            (wall_x - 28, high + 52),
            (wall_x - 95, level),
            (180, level + 12),
            (inner, level + 6),
        )
    )
    dome = mirror(chest.diaphragm(roll.side), roll.side)[::-1]
    below = dome[dome[:, 0] > inner] + np.array([0.0, 14.0])
    return [mirror(np.concatenate([wall, surface, below]), roll.side)]


def _place_infiltration(_chest: Chest, roll: Roll) -> list[Points]:
    y = between(340, 520, roll.v)
    return [ellipse(roll.side * between(185, 285, roll.u), y, *_spans(roll, 70, 110, 80, 120))]


def _spans(roll: Roll, low_x: float, high_x: float, low_y: float, high_y: float) -> tuple[float, float]:
    return between(low_x, high_x, roll.size), between(low_y, high_y, roll.size)


def _place_round(chest: Chest, roll: Roll, radius: float) -> list[Points]:
    """Put a ball of `radius` picture pixels fully into a lung, clear of heart and diaphragm."""
    rx = radius / (chest.width * chest.exposure.zoom)
    ry = radius / (chest.height * chest.exposure.zoom)
    y = between(225, 530, roll.v)
    outer = float(chest.lateral(np.array([y - 0.5 * ry]))[0]) - rx - 14
    inner = 90 + rx + (0.3 * (y - _HEART_TOP) if roll.side > 0 and y > _HEART_TOP else 0)
    lobed = radius > _LARGEST_SMOOTH
    lobes = (0.05 * roll.strength, 0.06 * roll.u, 0.04 * roll.v) if lobed else (0.05 * roll.u,)
    return [ellipse(roll.side * between(min(inner, outer), outer, roll.u), y, rx, ry, lobes)]


def _place_mass(chest: Chest, roll: Roll) -> list[Points]:
    return _place_round(chest, roll, between(47, 76, roll.size))


def _place_nodule(chest: Chest, roll: Roll) -> list[Points]:
    return _place_round(chest, roll, between(20, 38, roll.size))


def _place_pneumonia(chest: Chest, roll: Roll) -> list[Points]:
    half_x, half_y = _spans(roll, 95, 130, 85, 115)
    y = chest.dome[roll.side > 0] - 30 - half_y
    return [
        ellipse(
            roll.side * (between(205, 245, roll.u) + 12 * roll.side),
            between(y - 40, y, roll.v),
            half_x,
            half_y,
            (0.06, 0.05),
        )
    ]


def _place_pneumothorax(_chest: Chest, roll: Roll) -> list[Points]:
    edge = pleura(roll)
    wall = spline(LATERAL)
    wall = wall[wall[:, 1] < edge[-1, 1] + 8]
    apex = spline(((150, 128), (112, 139), (82, 164), (edge[0, 0], edge[0, 1])))
    return [mirror(np.concatenate([wall[::-1], apex, edge]), roll.side)]


def pleura(roll: Roll) -> Points:
    """Return the collapsed lung's rim: it falls away from apex and wall, and meets the wall at its foot."""
    foot = between(400, 540, roll.size)
    wall = spline(LATERAL)
    wall = wall[wall[:, 1] < foot]
    share = (wall[:, 1] - wall[0, 1]) / (foot - wall[0, 1])
    gap = between(62, 112, roll.size) * (1 - share**1.6)
    rim: Points = wall + gap[:, None] * np.stack([-0.75 - 0.2 * share, 0.78 - 0.6 * share], axis=1)
    return rim


def _place_consolidation(chest: Chest, roll: Roll) -> list[Points]:
    fissure = between(345, 410, roll.v)
    top = fissure - between(120, 175, roll.size)
    rows = np.linspace(fissure + 14, top, 12)
    wall = np.stack([chest.lateral(rows) - 4, rows], axis=1)
    return [mirror(np.concatenate([wall, [(78, top), (78, fissure - 22)]]), roll.side)]


def _place_edema(chest: Chest, roll: Roll) -> list[Points]:
    spread = between(0.85, 1.08, roll.size)
    wing = ((75, 300), (150, 262), (232, 290), (278, 380), (270, 480), (215, 560), (130, 575), (75, 520))
    outline = spline(wing, closed=True)
    centre = np.array([110.0, 420.0])
    # The wing's outline also takes in the lateral base, where the Kerley lines are.
    base = np.array([(float(chest.lateral(np.array([600.0]))[0]) - 6, 640.0)])
    return [mirror(np.concatenate([centre + (outline - centre) * spread, base]), side) for side in (-1, 1)]


def _place_lungs(chest: Chest, _roll: Roll) -> list[Points]:
    return [chest.lung(side) for side in (-1, 1)]


def _place_fibrosis(chest: Chest, roll: Roll) -> list[Points]:
    outlines = []
    for side in (-1, 1):
        dome = chest.dome[side > 0]
        inner = 150 if side < 0 else 225
        rows = np.linspace(dome - between(150, 230, roll.size), dome + 8, 10)
        wall = np.stack([chest.lateral(rows) - 6, rows], axis=1)
        outlines.append(
            mirror(np.concatenate([wall, [(inner + 40, dome - 12), (inner, rows[0] + 60)]]), side)
        )
    return outlines


def _place_thickening(chest: Chest, roll: Roll) -> list[Points]:
    rows = np.linspace(between(270, 360, roll.v), between(560, 660, roll.u), 24)
    bulge = np.sin(np.linspace(0.12, np.pi - 0.12, 24)) ** 0.6 * (1 + 0.22 * np.sin(rows / 26 + 9 * roll.u))
    wall = np.stack([chest.lateral(rows) + 8, rows], axis=1)
    inner = wall - np.stack([between(30, 50, roll.size) * bulge, np.zeros(24)], axis=1)
    return [mirror(np.concatenate([wall, inner[::-1]]), roll.side)]


def _place_heart(chest: Chest, _roll: Roll) -> list[Points]:
    outline = chest.heart_outline()
    return [outline[outline[:, 1] > _GREAT_VESSELS_END]]


def _place_hernia(chest: Chest, roll: Roll) -> list[Points]:
    radius = between(66, 92, roll.size)
    y = chest.dome[1] - between(20, 62, roll.v)
    return [ellipse(between(-25, 65, roll.u) + chest.exposure.yaw, y, 1.12 * radius, radius, (0.03,))]


_PLACES: Final[dict[str, Callable[[Chest, Roll], list[Points]]]] = {
    "Atelectasis": _place_atelectasis,
    "Cardiomegaly": _place_heart,
    "Effusion": _place_effusion,
    "Infiltration": _place_infiltration,
    "Mass": _place_mass,
    "Nodule": _place_nodule,
    "Pneumonia": _place_pneumonia,
    "Pneumothorax": _place_pneumothorax,
    "Consolidation": _place_consolidation,
    "Edema": _place_edema,
    "Emphysema": _place_lungs,
    "Fibrosis": _place_fibrosis,
    "Pleural_Thickening": _place_thickening,
    "Hernia": _place_hernia,
}
