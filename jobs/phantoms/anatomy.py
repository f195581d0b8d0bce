"""The chest of one phantom: chance gives a patient's geometry, and how the picture was taken.

Everything is an outline in thorax coordinates (x in pixels from the midline, positive to the right of the
picture, which is the patient's left; y in pixels from the top), carried to the picture by one affine map per
exposure. `jobs.phantoms.places` puts the findings' signs into the chest, `jobs.phantoms.film` paints it.

Each kind of chance has its own stream: adding or removing a finding changes no random number of anatomy,
exposure or noise, so nothing but the sign can reveal the label to a network.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from config.findings import FINDINGS

Points = NDArray[np.float64]

SIDE: Final = 1024
"""Width and height of a phantom in pixels."""

SPACING_MM: Final = 0.35
"""Millimetres per pixel: a Mass is then over 30 mm across and a Nodule under, as the terms are defined."""

_CENTRE: Final = np.array([0.0, 470.0])
"""The point that zoom and tilt leave in place, in thorax coordinates."""
_MIDLINE: Final = np.array([SIDE / 2, 0.0])

_COIN: Final = 0.5
"""Below it a uniform number is the left half of the picture, from it on the right."""

PATIENT, EXPOSURE, PLACE, COURSE, STROKES = range(1, 6)
"""Streams of chance: anatomy, one exposure, a sign's place, its size at a follow-up, its fine strokes."""

LATERAL: Final = (
    (150, 128),
    (232, 160),
    (303, 240),
    (350, 340),
    (382, 450),
    (402, 560),
    (412, 660),
    (415, 790),
)
"""The lung's edge at the chest wall, from the apex down; `_MEDIAL` is the one beside the heart, upwards."""
_MEDIAL: Final = ((66, 640), (62, 500), (66, 380), (60, 280), (66, 200), (98, 146), (150, 128))


class Roll(NamedTuple):
    """The random numbers of one sign."""

    side: int
    """-1: left half of the picture, +1: right half."""
    u: float
    """0..1, the place, kept through a patient's follow-ups, as is `v`."""
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
        wall = spline(LATERAL)
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
        return mirror(spline((*ends, (130, dome + 0.15 * rise), (40, dome + 0.55 * rise))), side)

    def lung(self, side: int) -> Points:
        """Return the outline of the aerated lung."""
        wall = spline(LATERAL)
        wall = wall[wall[:, 1] < self.floor(side) - 4]
        medial = spline(_MEDIAL)
        return np.concatenate([mirror(wall, side), self.diaphragm(side), mirror(medial, side)])

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


def spline(points: Sequence[tuple[float, float]], *, closed: bool = False, samples: int = 10) -> Points:
    """Return a Catmull-Rom curve (N, 2) through `points`, with `samples` steps between neighbours."""
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


def mirror(points: Points, side: int) -> Points:
    """Return points of the right half of the picture (side +1) in the half that `side` names."""
    return points * [side, 1]


def band(curve: Points, half_width: float | Points) -> Points:
    """Return the outline of a ribbon around an open curve."""
    step = np.gradient(curve, axis=0)
    normal = np.stack([-step[:, 1], step[:, 0]], axis=1) / (np.hypot(step[:, 0], step[:, 1])[:, None] + 1e-9)
    offset = normal * np.reshape(half_width, (-1, 1))
    return np.concatenate([curve + offset, (curve - offset)[::-1]])


def ellipse(x: float, y: float, radius_x: float, radius_y: float, lobes: Sequence[float] = ()) -> Points:
    """Return an ellipse; `lobes` bulge it, one amplitude per harmonic from the second on."""
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    bulge = 1 + sum(
        (lobe * np.sin((order + 2) * angle + 7 * order) for order, lobe in enumerate(lobes)), np.zeros(1)
    )
    return np.stack([x + radius_x * bulge * np.cos(angle), y + radius_y * bulge * np.sin(angle)], axis=1)


def between(low: float, high: float, at: float) -> float:
    """Return `low` at 0, `high` at 1, and values in proportion in between."""
    return low + (high - low) * at


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
    rng = np.random.default_rng([seed, patient_id, PATIENT])
    rolls = tuple((name, _roll(seed, patient_id, follow_up, name)) for name in findings)
    male, frontal = sex == "M", view_position == "AP"
    pose = _expose(np.random.default_rng([seed, patient_id, EXPOSURE, follow_up]), ap=frontal)
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
        rib_pitch=between(51, 57, pitch),
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
    side, u, v = np.random.default_rng([seed, patient_id, PLACE, index]).uniform(size=3)
    course = np.random.default_rng([seed, patient_id, COURSE, index, follow_up])
    size, strength = course.uniform(size=2)
    return Roll(-1 if side < _COIN else 1, float(u), float(v), float(size), float(strength))


def _apart(rolls: tuple[tuple[str, Roll], ...]) -> tuple[tuple[str, Roll], ...]:
    """Put signs that would hide each other into opposite lungs."""
    sides = {name: roll.side for name, roll in rolls}
    for hidden, hider in (("Atelectasis", "Effusion"), ("Nodule", "Mass"), ("Pneumonia", "Consolidation")):
        if hidden in sides and hider in sides:
            sides[hidden] = -sides[hider]
    return tuple((name, roll._replace(side=sides[name])) for name, roll in rolls)


def _heart(ratio: float, share_left: float) -> tuple[float, float]:
    """Return the heart's two extents from the cardiothoracic ratio."""
    whole = ratio * 2 * 404
    return share_left * whole, (1 - share_left) * whole


def _deform(chest: Chest, ratio: float) -> Chest:
    """Change the shape of the chest where a finding is a change of shape."""
    for finding, roll in chest.rolls:
        if finding == "Cardiomegaly":
            left, right = chest.heart
            wider = between(0.15, 0.23, 0.6 * roll.size + 0.4 * roll.strength)
            chest = replace(chest, heart=_heart(ratio + wider, left / (left + right)))
        elif finding == "Emphysema":
            down = between(34, 52, roll.size)
            chest = replace(
                chest,
                dome=(chest.dome[0] + down, chest.dome[1] + down),
                rise=chest.rise * between(0.35, 0.2, roll.size),
                lung_level=chest.lung_level - between(0.07, 0.12, roll.strength),
                vessel_level=between(0.6, 0.4, roll.strength),
            )
        elif finding == "Atelectasis":
            pull = between(28, 55, roll.size)
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
