"""What an experimenter does at a place: putting in a protein, particles or cells."""

from __future__ import annotations

import numpy as np

from imam_sim.model.newborn import Newborns, bear
from imam_sim.model.rng import Draw, uniform, uniform_pair
from imam_sim.model.state import NOBODY, VOXEL, Flags, Ground, Now, Voxels

Place = str | tuple[float, float, float]  # "everywhere", "injury", or x, y and radius [um]
MOST_CELLS = 100_000  # of one transplant, so that those of several are told apart


def voxels_at(place: Place, voxels: Voxels) -> Flags:
    """The tissue voxels of a place, (ny, nx) flags.

    `injury` is dead, open or regenerating fibre; where there is none, it is the whole section, as `everywhere` is. A disc of x, y and
    radius holds the voxels whose centres lie in it, at least the one at its middle.
    """
    ny, nx = voxels.ground.shape
    if place == "injury":
        hurt = (voxels.ground == Ground.NECROTIC) | (voxels.ground == Ground.CLEARED) | (voxels.ground == Ground.REGENERATING)
        return hurt if hurt.any() else np.ones((ny, nx), np.bool_)
    if isinstance(place, str):
        return np.ones((ny, nx), np.bool_)
    x, y, radius = place
    across = (np.arange(nx) + 0.5) * VOXEL - x
    down = (np.arange(ny) + 0.5) * VOXEL - y
    disc = across[None, :] ** 2 + down[:, None] ** 2 <= radius * radius
    disc[min(int(y / VOXEL), ny - 1), min(int(x / VOXEL), nx - 1)] = True
    return disc


def transplant(
    newborns: Newborns, voxels: Voxels, place: Place, kind: int, number: int, inflammatory: float, repair: float, nth: int, now: Now
) -> None:
    """Put cells into voxels of a place that are no living fibre, by lot; the n-th transplant of this moment (writes newborns).

    Where the whole place is living fibre, the cells come to lie in the nearest voxels that are not.
    """
    columns = voxels.ground.shape[1]
    enterable = ~np.isin(voxels.ground, (Ground.FIBRE, Ground.REGENERATING))
    where = voxels_at(place, voxels)
    free = np.flatnonzero(where & enterable)
    if free.size == 0:
        rows_of_place, columns_of_place = np.nonzero(where)
        everywhere = np.flatnonzero(enterable)
        away = (everywhere // columns - rows_of_place.mean()) ** 2 + (everywhere % columns - columns_of_place.mean()) ** 2
        free = everywhere[away == away.min()]
    for k in range(number):
        v = int(free[int(uniform(now, k, Draw.TRANSPLANT_PLACE, 2 * nth) * free.size)])
        across, down = uniform_pair(now, k, Draw.TRANSPLANT_PLACE, 2 * nth + 1)
        x, y = (v % columns + across) * VOXEL, (v // columns + down) * VOXEL
        bear(newborns, Draw.TRANSPLANT_PLACE, nth * MOST_CELLS + k, kind, x, y, inflammatory, repair, 0.0, NOBODY)
