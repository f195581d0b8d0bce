"""Draws one phantom: a chest's geometry, the signs of its findings, and the picture that comes of both.

Everything is an outline in thorax coordinates (x in pixels from the midline, positive to the right of the
picture, which is the patient's left; y in pixels from the top), carried to the picture by one affine map per
exposure. A finding's box is the bounding rectangle of the very outline its sign is painted with, so box and
sign cannot drift apart. The picture is a sum of densities, as attenuation is along a ray, seen through a tone
curve, as on film. Smooth shadows are painted at half resolution, lines and bones at full resolution.

Each kind of chance has its own stream: a finding that comes or goes moves no random number of anatomy,
exposure or noise, and nothing but the sign can tell a network of the label.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from config.findings import FINDINGS

Points = NDArray[np.float64]
Density = NDArray[np.float32]
Picture = NDArray[np.uint8]

SIDE: Final = 1024
"""Width and height of a phantom in pixels."""

_HALF: Final = SIDE // 2
_CENTRE: Final = np.array([0.0, 470.0])
"""The point that zoom and tilt leave in place, in thorax coordinates."""
_MIDLINE: Final = np.array([SIDE / 2, 0.0])
_INK: Final = 0.5 / 255
"""Density of one count in the 8-bit layers of lines and bones."""

_FLUID: Final = np.float32(0.92)

_PATIENT, _EXPOSURE, _PLACE, _COURSE, _STROKES = range(1, 6)
"""Streams of chance: anatomy, one exposure, a sign's place, its size at a follow-up, its fine strokes."""

_LATERAL: Final = (
    (150, 128),
    (232, 160),
    (303, 240),
    (350, 340),
    (382, 450),
    (402, 560),
    (412, 660),
    (415, 790),
)
_MEDIAL: Final = ((66, 640), (62, 500), (66, 380), (60, 280), (66, 200), (98, 146), (150, 128))
_TORSO: Final = (
    (94, -60), (98, 40), (124, 88), (210, 118), (330, 145), (440, 190), (520, 265), (560, 360),
    (530, 450), (482, 540), (470, 700), (476, 900), (484, 1100),
)  # fmt: skip


class Roll(NamedTuple):
    """What chance decided about one sign."""

    side: int
    """-1: left half of the picture, +1: right half."""
    u: float
    """0..1, the place, kept through a patient's follow-ups; so is `v`."""
    v: float
    size: float
    """0..1, small to large; it may change between follow-ups, as may `strength`."""
    strength: float
    """0..1, faint to plain."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """How one picture was taken: the affine map's parts, the tone curve, the grain."""

    zoom: float
    shift: tuple[float, float]
    tilt: float
    yaw: float
    black: float
    gain: float
    curve: float
    haze: float
    grain: float


@dataclass(frozen=True, slots=True)
class Chest:
    """The geometry of one picture, in thorax coordinates."""

    streams: tuple[int, int, int]
    """Archive's seed, patient, follow-up."""
    exposure: Exposure
    width: float
    height: float
    habitus: float
    breast: float
    knob: float
    rib_pitch: float
    heart: tuple[float, float]
    """Extent to the left and to the right of the midline, pixels."""
    dome: tuple[float, float]
    """Height of the diaphragm's domes in the left and in the right half of the picture."""
    raised: tuple[float, float]
    """How far loss of volume pulls each dome up."""
    rise: float
    """From the costophrenic angle up to the dome; small where the diaphragm is flat."""
    lung_level: float
    vessel_level: float
    rolls: tuple[tuple[str, Roll], ...]

    def rng(self, *stream: int) -> np.random.Generator:
        """Return the generator of one stream of this patient."""
        seed, patient, _ = self.streams
        return np.random.default_rng([seed, patient, *stream])

    def to_pixels(self, points: Points) -> Points:
        """Carry thorax coordinates (N, 2) to pixels of the picture (N, 2)."""
        pose = self.exposure
        sin, cos = math.sin(pose.tilt) * pose.zoom, math.cos(pose.tilt) * pose.zoom
        turn = np.array([[cos * self.width, sin * self.width], [-sin * self.height, cos * self.height]])
        moved: Points = (points - _CENTRE) @ turn + (_CENTRE + _MIDLINE + pose.shift)
        return moved

    def lateral(self, y: Points) -> Points:
        """Return the lung's half width (pixels from the midline) at the heights `y`."""
        wall = spline(_LATERAL)
        half_width: Points = np.interp(y, wall[:, 1], wall[:, 0])
        return half_width

    def floor(self, side: int) -> float:
        """Return the height of the costophrenic angle; loss of volume leaves it in place."""
        return self.dome[side > 0] + self.rise + 25

    def diaphragm(self, side: int) -> Points:
        """Return the dome's curve from the costophrenic angle to the heart."""
        dome, floor = self.dome[side > 0] - self.raised[side > 0], self.floor(side)
        rise = floor - 25 - dome
        wall = float(self.lateral(np.array([floor]))[0])
        ends = ((wall, floor), (372, dome + 0.5 * rise), (300, dome + 0.12 * rise), (215, dome))
        return _mirror(spline((*ends, (130, dome + 0.15 * rise), (40, dome + 0.55 * rise))), side)

    def lung(self, side: int) -> Points:
        """Return the outline of the aerated lung."""
        wall = spline(_LATERAL)
        wall = wall[wall[:, 1] < self.floor(side) - 4]
        medial = spline(_MEDIAL)
        return np.concatenate([_mirror(wall, side), self.diaphragm(side), _mirror(medial, side)])

    def heart_outline(self) -> Points:
        """Return the heart's outline from the aortic knob round the apex."""
        left, right = self.heart
        base = (self.dome[0] + self.dome[1]) / 2 + 42
        knob = 52 + 26 * self.knob
        points = (
            (20, 215), (knob, 262), (knob - 4, 310), (60 + 0.05 * right, 365), (0.52 * right, 450),
            (0.84 * right, 545), (right, base - 92), (0.93 * right, base - 30), (0.6 * right, base + 8),
            (0, base + 20), (-0.85 * left, base - 10), (-left, base - 105), (-0.86 * left, 500),
            (-62, 420), (-50, 300), (-30, 215),
        )  # fmt: skip
        outline: Points = spline(points, closed=True) + np.array([self.exposure.yaw, 0.0])
        return outline


@dataclass(frozen=True, slots=True, eq=False)
class Sign:
    """A finding's sign in one picture: what chance decided, and its outlines (N, 2) in pixels."""

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


def spline(points: Sequence[tuple[float, float]], *, closed: bool = False, samples: int = 10) -> Points:
    """Return a Catmull-Rom curve (N, 2) through `points`, `samples` steps between each two."""
    knots = np.asarray(points, dtype=np.float64)
    if closed:
        padded = np.concatenate([knots[-1:], knots, knots[:2]])
    else:
        padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    a, b, c, d = padded[:-3, None], padded[1:-2, None], padded[2:-1, None], padded[3:, None]
    t = (np.arange(samples) / samples)[None, :, None]
    curve = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    flat = curve.reshape(-1, 2)
    return flat if closed else np.concatenate([flat, knots[-1:]])


def _mirror(points: Points, side: int) -> Points:
    return points * [side, 1]


def _band(curve: Points, half_width: float | Points) -> Points:
    """Return the outline of a ribbon around an open curve."""
    step = np.gradient(curve, axis=0)
    normal = np.stack([-step[:, 1], step[:, 0]], axis=1) / (np.hypot(step[:, 0], step[:, 1])[:, None] + 1e-9)
    offset = normal * np.reshape(half_width, (-1, 1))
    return np.concatenate([curve + offset, (curve - offset)[::-1]])


def _round(x: float, y: float, radius_x: float, radius_y: float, lobes: Sequence[float] = ()) -> Points:
    """Return an ellipse; `lobes` bulge it, one amplitude a harmonic from the second on."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    bulge = 1 + sum(
        (lobe * np.sin((order + 2) * angle + 7 * order) for order, lobe in enumerate(lobes)), np.zeros(1)
    )
    return np.stack([x + radius_x * bulge * np.cos(angle), y + radius_y * bulge * np.sin(angle)], axis=1)


def _between(low: float, high: float, at: float) -> float:
    return low + (high - low) * at


# --- a chest out of chance ---------------------------------------------------------------------------------


def build_chest(
    *,
    seed: int,
    patient_id: int,
    follow_up: int,
    sex: str,
    age_years: int,
    view_position: str,
    findings: Sequence[str],
) -> Chest:
    """Return the geometry of one picture; the same arguments give the same chest."""
    rng = np.random.default_rng([seed, patient_id, _PATIENT])
    rolls = tuple((name, _roll(seed, patient_id, follow_up, name)) for name in findings)
    male, frontal = sex == "M", view_position == "AP"
    pose = _expose(np.random.default_rng([seed, patient_id, _EXPOSURE, follow_up]), ap=frontal)
    width = 0.985 + 0.025 * male + rng.normal(0, 0.025)
    height = 0.99 + 0.03 * male + rng.normal(0, 0.03)
    habitus, breast, knob, pitch = rng.uniform(size=4)
    ratio = rng.uniform(0.40, 0.46) + 0.04 * frontal
    deep = pose.yaw * 0.8 - 12 * frontal  # patients who lie breathe in less
    dome = (672 + rng.normal(0, 10) + deep, 700 + rng.normal(0, 10) + deep)
    chest = Chest(
        streams=(seed, patient_id, follow_up),
        exposure=pose,
        width=float(np.clip(width, 0.92, 1.07)),
        height=float(np.clip(height, 0.9, 1.08)),
        habitus=habitus,
        breast=0.0 if male else 0.35 + 0.65 * breast,
        knob=float(np.clip(0.7 * knob + (age_years - 45) / 100, 0, 1)),
        rib_pitch=_between(51, 57, pitch),
        heart=_heart(ratio, rng.uniform(0.29, 0.35)),
        dome=dome,
        raised=(0.0, 0.0),
        rise=rng.uniform(62, 88),
        lung_level=rng.uniform(0.19, 0.25) + pose.haze,
        vessel_level=1.0,
        rolls=_apart(rolls),
    )
    return _deform(chest, ratio)


def _roll(seed: int, patient_id: int, follow_up: int, finding: str) -> Roll:
    index = FINDINGS.index(finding)
    side, u, v = np.random.default_rng([seed, patient_id, _PLACE, index]).uniform(size=3)
    course = np.random.default_rng([seed, patient_id, _COURSE, index, follow_up])
    size, strength = course.uniform(size=2)
    return Roll(-1 if side < 0.5 else 1, float(u), float(v), float(size), float(strength))  # noqa: PLR2004 - a coin


def _apart(rolls: tuple[tuple[str, Roll], ...]) -> tuple[tuple[str, Roll], ...]:
    """Put signs that would hide each other into opposite lungs."""
    sides = {name: roll.side for name, roll in rolls}
    for hidden, hider in (("Atelectasis", "Effusion"), ("Nodule", "Mass"), ("Pneumonia", "Consolidation")):
        if hidden in sides and hider in sides:
            sides[hidden] = -sides[hider]
    return tuple((name, roll._replace(side=sides[name])) for name, roll in rolls)


def _heart(ratio: float, share_left: float) -> tuple[float, float]:
    """Return the heart's two extents out of the cardiothoracic ratio."""
    whole = ratio * 2 * 404
    return share_left * whole, (1 - share_left) * whole


def _deform(chest: Chest, ratio: float) -> Chest:
    """Let the findings that are a change of shape change the shape."""
    for finding, roll in chest.rolls:
        if finding == "Cardiomegaly":
            left, right = chest.heart
            wider = _between(0.15, 0.23, 0.6 * roll.size + 0.4 * roll.strength)
            chest = replace(chest, heart=_heart(ratio + wider, left / (left + right)))
        elif finding == "Emphysema":
            down = _between(34, 52, roll.size)
            chest = replace(
                chest,
                dome=(chest.dome[0] + down, chest.dome[1] + down),
                rise=chest.rise * _between(0.35, 0.2, roll.size),
                lung_level=chest.lung_level - _between(0.07, 0.12, roll.strength),
                vessel_level=_between(0.6, 0.4, roll.strength),
            )
        elif finding == "Atelectasis":
            pull = _between(28, 55, roll.size)
            raised = (pull, 0.0) if roll.side < 0 else (0.0, pull)
            chest = replace(chest, raised=raised)
    return chest


def _expose(rng: np.random.Generator, *, ap: bool) -> Exposure:
    return Exposure(
        zoom=rng.uniform(0.93, 1.04),
        shift=(float(np.clip(rng.normal(0, 12), -26, 26)), float(np.clip(rng.normal(8, 12), -20, 34))),
        tilt=float(np.radians(rng.normal(0, 1.2))),
        yaw=float(np.clip(rng.normal(0, 7), -15, 15)),
        black=rng.uniform(2, 14) + 8 * ap,
        gain=rng.uniform(205, 232) - 24 * ap,
        curve=rng.uniform(0.10, 0.38),
        haze=0.06 * ap + rng.uniform(0, 0.03),
        grain=rng.uniform(1.7, 3.0) + 0.3 * ap,
    )


# --- where each sign is ------------------------------------------------------------------------------------


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
    return [_mirror(box, roll.side)]


def _place_effusion(chest: Chest, roll: Roll) -> list[Points]:
    floor = chest.floor(roll.side)
    level = chest.dome[roll.side > 0] - _between(20, 150, roll.size)
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
    dome = _mirror(chest.diaphragm(roll.side), roll.side)[::-1]
    below = dome[dome[:, 0] > inner] + np.array([0.0, 14.0])
    return [_mirror(np.concatenate([wall, surface, below]), roll.side)]


def _place_infiltration(_chest: Chest, roll: Roll) -> list[Points]:
    y = _between(340, 520, roll.v)
    return [_round(roll.side * _between(185, 285, roll.u), y, *_spans(roll, 70, 110, 80, 120))]


def _spans(roll: Roll, low_x: float, high_x: float, low_y: float, high_y: float) -> tuple[float, float]:
    return _between(low_x, high_x, roll.size), _between(low_y, high_y, roll.size)


def _place_round(chest: Chest, roll: Roll, radius: float) -> list[Points]:
    """Put a ball of `radius` picture pixels fully into a lung, clear of heart and diaphragm."""
    rx = radius / (chest.width * chest.exposure.zoom)
    ry = radius / (chest.height * chest.exposure.zoom)
    y = _between(225, 530, roll.v)
    outer = float(chest.lateral(np.array([y - 0.5 * ry]))[0]) - rx - 14
    inner = 90 + rx + (0.3 * (y - 300) if roll.side > 0 and y > 300 else 0)  # noqa: PLR2004 - the heart begins
    lobes = (0.05 * roll.strength, 0.06 * roll.u, 0.04 * roll.v) if radius > 40 else (0.05 * roll.u,)  # noqa: PLR2004
    return [_round(roll.side * _between(min(inner, outer), outer, roll.u), y, rx, ry, lobes)]


def _place_mass(chest: Chest, roll: Roll) -> list[Points]:
    return _place_round(chest, roll, _between(47, 76, roll.size))


def _place_nodule(chest: Chest, roll: Roll) -> list[Points]:
    return _place_round(chest, roll, _between(13, 25, roll.size))


def _place_pneumonia(chest: Chest, roll: Roll) -> list[Points]:
    half_x, half_y = _spans(roll, 95, 130, 85, 115)
    y = chest.dome[roll.side > 0] - 30 - half_y
    return [
        _round(
            roll.side * (_between(205, 245, roll.u) + 12 * roll.side),
            _between(y - 40, y, roll.v),
            half_x,
            half_y,
            (0.06, 0.05),
        )
    ]


def _place_pneumothorax(_chest: Chest, roll: Roll) -> list[Points]:
    edge = _pleura(roll)
    wall = spline(_LATERAL)
    wall = wall[wall[:, 1] < edge[-1, 1] + 8]
    apex = spline(((150, 128), (112, 139), (82, 164), (edge[0, 0], edge[0, 1])))
    return [_mirror(np.concatenate([wall[::-1], apex, edge]), roll.side)]


def _pleura(roll: Roll) -> Points:
    """Return the collapsed lung's rim: it falls away from apex and wall, and meets the wall at its foot."""
    foot = _between(400, 540, roll.size)
    wall = spline(_LATERAL)
    wall = wall[wall[:, 1] < foot]
    share = (wall[:, 1] - wall[0, 1]) / (foot - wall[0, 1])
    gap = _between(62, 112, roll.size) * (1 - share**1.6)
    rim: Points = wall + gap[:, None] * np.stack([-0.75 - 0.2 * share, 0.78 - 0.6 * share], axis=1)
    return rim


def _place_consolidation(chest: Chest, roll: Roll) -> list[Points]:
    fissure = _between(345, 410, roll.v)
    top = fissure - _between(120, 175, roll.size)
    rows = np.linspace(fissure + 14, top, 12)
    wall = np.stack([chest.lateral(rows) - 4, rows], axis=1)
    return [_mirror(np.concatenate([wall, [(78, top), (78, fissure - 22)]]), roll.side)]


def _place_edema(chest: Chest, roll: Roll) -> list[Points]:
    spread = _between(0.85, 1.08, roll.size)
    wing = ((75, 300), (150, 262), (232, 290), (278, 380), (270, 480), (215, 560), (130, 575), (75, 520))
    outline = spline(wing, closed=True)
    centre = np.array([110.0, 420.0])
    # The wing's outline also takes in the lateral base, where the Kerley lines are.
    base = np.array([(float(chest.lateral(np.array([600.0]))[0]) - 6, 640.0)])
    return [_mirror(np.concatenate([centre + (outline - centre) * spread, base]), side) for side in (-1, 1)]


def _place_lungs(chest: Chest, _roll: Roll) -> list[Points]:
    return [chest.lung(side) for side in (-1, 1)]


def _place_fibrosis(chest: Chest, roll: Roll) -> list[Points]:
    outlines = []
    for side in (-1, 1):
        dome = chest.dome[side > 0]
        inner = 150 if side < 0 else 225
        rows = np.linspace(dome - _between(150, 230, roll.size), dome + 8, 10)
        wall = np.stack([chest.lateral(rows) - 6, rows], axis=1)
        outlines.append(
            _mirror(np.concatenate([wall, [(inner + 40, dome - 12), (inner, rows[0] + 60)]]), side)
        )
    return outlines


def _place_thickening(chest: Chest, roll: Roll) -> list[Points]:
    rows = np.linspace(_between(270, 360, roll.v), _between(560, 660, roll.u), 24)
    bulge = np.sin(np.linspace(0.12, np.pi - 0.12, 24)) ** 0.6 * (1 + 0.22 * np.sin(rows / 26 + 9 * roll.u))
    wall = np.stack([chest.lateral(rows) + 8, rows], axis=1)
    inner = wall - np.stack([_between(30, 50, roll.size) * bulge, np.zeros(24)], axis=1)
    return [_mirror(np.concatenate([wall, inner[::-1]]), roll.side)]


def _place_heart(chest: Chest, _roll: Roll) -> list[Points]:
    outline = chest.heart_outline()
    return [outline[outline[:, 1] > 400]]  # noqa: PLR2004 - below the great vessels


def _place_hernia(chest: Chest, roll: Roll) -> list[Points]:
    radius = _between(66, 92, roll.size)
    y = chest.dome[1] - _between(20, 62, roll.v)
    return [_round(_between(-25, 65, roll.u) + chest.exposure.yaw, y, 1.12 * radius, radius, (0.03,))]


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


# --- the film ----------------------------------------------------------------------------------------------


class Film:
    """The layers one picture is painted in."""

    def __init__(self, chest: Chest) -> None:
        self.chest = chest
        self.density: Density = np.full((_HALF, _HALF), 0.62, np.float32)
        """Smooth shadows at half resolution: 0 is air, 1 the densest soft tissue."""
        self.lungs: Density = np.zeros((_HALF, _HALF), np.float32)
        """0..1, where there is lung; opacities of the lung stay inside."""
        self.vascular: Density = np.zeros((_HALF, _HALF), np.float32)
        """0..1, how much of the vessels' drawing is seen."""
        self.bright: Picture = np.zeros((SIDE, SIDE), np.uint8)
        """Lines and bones at full resolution; 255 counts are a density of 0.5."""
        self.dark: Picture = np.zeros((SIDE, SIDE), np.uint8)
        """As `bright`, taken away."""
        self.lines: Picture = np.zeros((SIDE, SIDE), np.uint8)
        """As `bright`, for the lines of signs, so that they add to the bones they cross."""
        self.vessels: Picture = np.zeros((SIDE, SIDE), np.uint8)
        """As `bright`, seen as far as `vascular` says."""

    def mask(self, outline: Points, blur: float) -> tuple[tuple[slice, slice], Density]:
        """Return the window that an outline touches, and there its mask 0..1, soft by `blur` pixels."""
        half, soft = outline / 2, blur / 2
        margin = 3 * soft + 2
        low = np.clip(np.floor(half.min(axis=0) - margin), 0, _HALF - 1).astype(int)
        high = np.clip(np.ceil(half.max(axis=0) + margin), low + 1, _HALF).astype(int)
        mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
        _fill(mask, half - low, 255)
        if soft > 0:
            # Two box blurs are near a Gaussian of this deviation, at a cost that does not grow with it.
            size = 2 * round(math.sqrt(6 * soft**2 + 1) / 2) + 1
            mask = np.asarray(cv2.blur(cv2.blur(mask, (size, size)), (size, size)), np.uint8)
        return (slice(low[1], high[1]), slice(low[0], high[0])), mask.astype(np.float32) / np.float32(255)

    def blend(self, outline: Points, level: float, alpha: float = 1.0, *, blur: float = 4) -> None:
        """Draw the density towards `level` inside the outline."""
        window, mask = self.mask(outline, blur)
        self.density[window] += np.float32(alpha) * mask * (np.float32(level) - self.density[window])

    def add(self, outline: Points, amount: float, *, blur: float = 4) -> None:
        """Add (or with a negative amount take) density inside the outline."""
        window, mask = self.mask(outline, blur)
        self.density[window] += np.float32(amount) * mask

    def opacify(
        self, outline: Points, amount: float, *, blur: float, weave: Density | None = None, hide: float = 0.0
    ) -> None:
        """Draw lung towards the density of fluid, `amount` of it all the way at 1.

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


def _weave(rng: np.random.Generator, cells: int, *, low: float, high: float) -> Density:
    """Return a smooth random field (512, 512) between 0 and 1, `cells` cells a side."""
    field = cv2.resize(
        rng.standard_normal((cells, cells), np.float32), (_HALF, _HALF), interpolation=cv2.INTER_CUBIC
    )
    return np.asarray(np.clip((field - np.float32(low)) / np.float32(high - low), 0, 1), np.float32)


def paint(chest: Chest) -> Picture:
    """Return the picture (1024, 1024) uint8 of a chest; the same chest gives the same bytes."""
    film = Film(chest)
    _paint_lungs(film)
    _paint_middle(film)
    _paint_abdomen(film)
    _paint_vessels(film)
    _paint_bones(film)
    for sign in signs_of(chest):
        paint_sign = _SIGNS.get(sign.finding)
        if paint_sign is not None:
            paint_sign(film, sign, chest.rng(_STROKES, FINDINGS.index(sign.finding)))
    _paint_body(film)
    return _develop(film)


def _both(curve: Sequence[tuple[float, float]]) -> Points:
    """Return the closed outline that a curve and its mirror image make."""
    side = spline(curve)
    return np.concatenate([side, _mirror(side, -1)[::-1]])


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
        film.add(chest.to_pixels(_round(side * 130, 430, 90, 190)), 0.07, blur=70)
        film.add(chest.to_pixels(_round(side * 105, 405, 30, 62)), 0.10, blur=26)
    rng = chest.rng(_PATIENT, 1)
    film.vascular[:] = film.lungs * np.float32(chest.vessel_level)
    film.density += film.lungs * np.float32(0.035) * (_weave(rng, 40, low=-2, high=2) - np.float32(0.5))
    film.density += film.lungs * np.float32(0.045) * (_weave(rng, 150, low=-2, high=2) - np.float32(0.5))
    if chest.breast:
        for side in (-1, 1):
            breast = _round(side * 245, 640, 165, 95 + 60 * chest.breast)
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
        film.add(chest.to_pixels(_round(shift[0], y + 28, 6, 9)), 0.04, blur=3)
    windpipe = _band(spline(((0, -40), (2, 120), (6, 250), (4, 330))), 17)
    film.add(chest.to_pixels(windpipe + shift), -0.13, blur=7)
    for side in (-1, 1):
        bronchus = _band(spline(((4, 318), (side * 40, 352), (side * 84, 384))), 12)
        film.add(chest.to_pixels(bronchus + shift), -0.09, blur=8)


def _paint_abdomen(film: Film) -> None:
    chest = film.chest
    left, right = chest.diaphragm(-1), chest.diaphragm(1)
    below = np.concatenate([left, right[::-1], [(415, 1120), (-415, 1120)]])
    film.blend(chest.to_pixels(below), 0.93, 0.94, blur=5)
    rng = chest.rng(_EXPOSURE, chest.streams[2], 1)
    gas = _round(
        rng.uniform(130, 230), chest.dome[1] + rng.uniform(62, 100), rng.uniform(40, 85), rng.uniform(22, 42)
    )
    film.add(chest.to_pixels(gas), -rng.uniform(0.05, 0.22), blur=9)


def _paint_body(film: Film) -> None:
    """Paint shoulders and arms, and cut everything off at the skin."""
    chest = film.chest
    wider = [1 + 0.10 * chest.habitus, 1]
    torso = chest.to_pixels(_both(_TORSO) * wider)
    skin: Density = np.zeros((_HALF, _HALF), np.float32)
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
            chest.to_pixels(_mirror(spline(blade, closed=True) + np.array([34.0, 0.0]), side)), 0.05, blur=5
        )
        film.add(chest.to_pixels(_round(side * 474, 238, 44, 48)), 0.07, blur=9)
        arm = _band(spline(((470, 240), (520, 420), (560, 640), (580, 1120))), 66 + 20 * chest.habitus)
        window, mask = film.mask(chest.to_pixels(_mirror(arm, side)), 22)
        skin[window] = np.maximum(skin[window], np.float32(0.8) * mask)
    window, mask = film.mask(torso, 26)
    skin[window] = np.maximum(skin[window], mask)
    # Above the shoulders and out at the flanks the body is thin.
    film.add(chest.to_pixels(_both(((190, -60), (190, 90), (560, 230), (560, -60)))), -0.10, blur=70)
    film.density *= skin


def _paint_vessels(film: Film) -> None:
    """Draw the vessels' trees, from the roots of the lungs outwards."""
    chest = film.chest
    rng = chest.rng(_PATIENT, 2)
    for side in (-1, 1):
        for angle in np.linspace(-1.35, 1.35, 9):
            root = np.array([82 + rng.uniform(0, 16), 400 + 34 * angle])
            twig = _Twig(root, float(angle) + rng.normal(0, 0.1), 7.5 + 2 * rng.uniform(), 3)
            for curve, width in sorted(_branches(twig, rng), key=lambda branch: branch[1]):
                line = chest.to_pixels(_mirror(curve, side))
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
            _bone(film.bright, chest.to_pixels(_mirror(behind, side)), 10.5 + 0.25 * number, 25, 30)
            if number < 8:  # noqa: PLR2004 - the lowest ribs do not reach the front
                _bone(front, chest.to_pixels(_mirror(ahead, side)), 10.5, 15, 14)
        collar = spline(((34, 216), (110, 198), (220, 172), (330, 148), (430, 136), (462, 140)))
        collar += [chest.exposure.yaw * 0.5, side * chest.exposure.yaw * 0.4]
        _bone(front, chest.to_pixels(_mirror(collar, side)), 14, 40, 30)
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
    _fill(layer, _band(curve, half_width), body + rim)
    _fill(layer, _band(curve, half_width - 3.2), body)


def _develop(film: Film) -> Picture:
    """Put the layers together, through the tone curve, with grain and a lead letter."""
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
    rng = film.chest.rng(_EXPOSURE, film.chest.streams[2], 2)
    density += rng.standard_normal((SIDE, SIDE), np.float32) * np.float32(pose.grain)
    density += np.float32(pose.black + 0.5)
    picture = np.clip(density, 0, 255).astype(np.uint8)
    place = (int(rng.integers(880, 960)), int(rng.integers(50, 110)))
    cv2.putText(picture, "L", place, cv2.FONT_HERSHEY_SIMPLEX, 1.5, 238, 5, cv2.LINE_AA)
    return picture


# --- the signs ---------------------------------------------------------------------------------------------


def _sign_atelectasis(film: Film, sign: Sign, rng: np.random.Generator) -> None:
    """Lay plates and a wedge of collapsed lung above the raised dome."""
    chest, roll = film.chest, sign.roll
    dome = chest.dome[roll.side > 0] - chest.raised[roll.side > 0]
    start = _between(135, 175, roll.u)
    wedge = np.array(
        [(start + 20, dome - 62), (start + 150, dome - 30), (start + 190, dome + 26), (start - 20, dome + 30)]
    )
    film.opacify(
        chest.to_pixels(_mirror(wedge, roll.side)), _between(0.32, 0.52, roll.strength), blur=9, hide=0.5
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
        ribbon = _band(plate, np.linspace(5.5, 9.0, len(plate)))
        film.opacify(chest.to_pixels(_mirror(ribbon, roll.side)), _between(0.36, 0.6, roll.strength), blur=3)


def _sign_effusion(film: Film, sign: Sign, _rng: np.random.Generator) -> None:
    """Hide the costophrenic angle under fluid that stands higher at the wall."""
    (outline,) = sign.outlines
    film.blend(outline, 0.92, _between(0.88, 0.99, sign.roll.strength), blur=9)
    window, mask = film.mask(outline, 9)
    film.vascular[window] *= 1 - mask


def _sign_infiltration(film: Film, sign: Sign, rng: np.random.Generator) -> None:
    """Scatter soft patches with aerated lung between them."""
    (outline,) = sign.outlines
    patches = _weave(rng, 26, low=-0.2, high=1.0)
    film.opacify(outline, _between(0.34, 0.56, sign.roll.strength), blur=26, weave=patches)


def _sign_ball(film: Film, sign: Sign, _rng: np.random.Generator) -> None:
    """Lay a ball into the lung: densest in its middle, with an edge."""
    (outline,) = sign.outlines
    amount = _between(0.34, 0.54, sign.roll.strength)
    centre = outline.mean(axis=0)
    film.opacify(outline, amount * 0.7, blur=3.5, hide=0.6)
    film.opacify(centre + (outline - centre) * 0.72, amount * 0.5, blur=6)


def _sign_pneumonia(film: Film, sign: Sign, rng: np.random.Generator) -> None:
    """Fog a lobe in which air-filled bronchi stay dark."""
    (outline,) = sign.outlines
    film.opacify(outline, _between(0.46, 0.68, sign.roll.strength), blur=34, hide=0.9)
    low, high = outline.min(axis=0), outline.max(axis=0)
    ink = int(_between(46, 66, sign.roll.strength))
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
    dark = np.float32(_between(0.62, 0.86, sign.roll.strength)) * mask
    film.density[window] += dark * (np.float32(0.07) - film.density[window])
    film.vascular[window] *= 1 - mask
    line = film.chest.to_pixels(_mirror(_pleura(sign.roll), sign.roll.side))
    film.stroke(film.lines, line, 4, int(_between(48, 72, sign.roll.strength)))


def _sign_consolidation(film: Film, sign: Sign, _rng: np.random.Generator) -> None:
    """Fill a lobe: dense, even, and cut off sharply at the fissure."""
    (outline,) = sign.outlines
    chest, roll = film.chest, sign.roll
    fissure = _between(345, 410, roll.v)
    above = np.array([(40, 40), (460, 40), (460, fissure + 14), (70, fissure - 22)])
    window, sharp = film.mask(chest.to_pixels(_mirror(above, roll.side)), 2)
    weave = np.zeros((_HALF, _HALF), np.float32)
    weave[window] = sharp
    soft = outline + (outline - outline.mean(axis=0)) * [0.0, 0.12]
    film.opacify(soft, _between(0.72, 0.92, roll.strength), blur=13, weave=weave, hide=1.0)


def _sign_edema(film: Film, sign: Sign, rng: np.random.Generator) -> None:
    """Lay haze like a butterfly's wings, and short Kerley lines at the wall of both bases."""
    chest, strength = film.chest, sign.roll.strength
    for side, outline in zip((-1, 1), sign.outlines, strict=True):
        film.opacify(outline[:-1], _between(0.38, 0.6, strength), blur=46, hide=0.5)
        for y in np.arange(556, 640, 13.0) + rng.uniform(-2, 2):
            wall = float(chest.lateral(np.array([y]))[0]) - 7
            line = np.array([(wall - rng.uniform(34, 58), y + rng.uniform(-3, 3)), (wall, y)])
            film.stroke(film.lines, chest.to_pixels(_mirror(line, side)), 3, int(_between(44, 66, strength)))


def _sign_fibrosis(film: Film, sign: Sign, rng: np.random.Generator) -> None:
    """Spread a net of coarse meshes over the rims of both bases."""
    ink = int(_between(56, 84, sign.roll.strength))
    rows, columns = np.mgrid[0:SIDE:17, 0:SIDE:20].astype(np.float64)
    columns[1::2] += 10
    knots = np.stack([columns, rows], axis=2) + rng.uniform(-4.5, 4.5, (*rows.shape, 2))
    for outline in sign.outlines:
        film.opacify(outline, 0.1, blur=16)
        window, mask = film.mask(outline, 0)
        inside = np.zeros((_HALF, _HALF), bool)
        inside[window] = (mask > 0.5) & (film.lungs[window] > 0.6)  # noqa: PLR2004 - the middle of a soft edge
        _net(film, knots, inside, ink)


def _net(film: Film, knots: Points, inside: NDArray[np.bool_], ink: int) -> None:
    """Draw the net's threads whose first knot is inside."""
    at = np.clip(knots / 2, 0, _HALF - 1).astype(int)
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
    film.blend(outline, 0.8, _between(0.6, 0.95, sign.roll.strength), blur=5)


def _sign_hernia(film: Film, sign: Sign, _rng: np.random.Generator) -> None:
    """Lay a part of the stomach above the diaphragm: a wall, gas, and under it a level of fluid."""
    (outline,) = sign.outlines
    centre, plain = outline.mean(axis=0), sign.roll.strength
    film.blend(outline, 0.99, _between(0.75, 0.95, plain), blur=3)
    radius = np.ptp(outline, axis=0) / 2
    angle = np.linspace(np.pi, 2 * np.pi, 24)
    gas = centre + np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius * 0.82 + [0, 0.22 * radius[1]]
    film.blend(gas, _between(0.52, 0.38, plain), 0.95, blur=4)


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
