"""Injury from outside: which fibres a toxin, a crush or a trigger hits."""

from __future__ import annotations

import numpy as np

from imam_sim.model.rng import Draw, uniform, uniform_pair
from imam_sim.model.state import Fibres, Flags, Floats, Now

FOCUS_AREA = 1e5  # um2 of section for each focus of a diffuse injury
PATTERNS = ("localised", "scattered", "diffuse")


def hit_by_injury(fibres: Fibres, pattern: str, fraction: float, width: float, height: float, nth: int, now: Now) -> Flags:
    """The fibres that the n-th injury of this moment, of a fraction of the living fibre area, hits: one flag each.

    `localised`: those nearest to one place in the middle half; `scattered`: single fibres by lot; `diffuse`: those nearest to many foci,
    one for each FOCUS_AREA and two at least. ValueError for any other pattern.
    """
    order = np.argsort(_remoteness(fibres, pattern, width, height, nth, now), kind="stable")
    area = fibres.living[order]
    before = np.cumsum(area) - area
    hit = np.zeros(order.size, np.bool_)
    hit[order] = (before + area / 2 < fraction * fibres.living.sum()) & (area > 0)
    return hit


def _remoteness(fibres: Fibres, pattern: str, width: float, height: float, nth: int, now: Now) -> Floats:
    if pattern == "scattered":
        return np.array([uniform(now, f, Draw.EVENT_FIBRE, nth) for f in range(fibres.x.size)])
    if pattern == "localised":
        a, b = uniform_pair(now, 0, Draw.EVENT_PLACE, nth)
        foci = np.array([[width * (0.25 + a / 2), height * (0.25 + b / 2)]])
    elif pattern == "diffuse":
        n_foci = max(2, round(width * height / FOCUS_AREA))
        foci = np.array([uniform_pair(now, k, Draw.EVENT_PLACE, nth) for k in range(n_foci)]) * (width, height)
    else:
        raise ValueError(f"got pattern {pattern!r}, must be one of {', '.join(PATTERNS)}")
    distances = (fibres.x[:, None] - foci[:, 0]) ** 2 + (fibres.y[:, None] - foci[:, 1]) ** 2
    nearest: Floats = distances.min(axis=1)
    return nearest
