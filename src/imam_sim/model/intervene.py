"""What an experimenter does to a tissue between two steps: injure, deplete, inject, transplant, implant, infect."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from imam_sim.model.fields import Transport, put
from imam_sim.model.maths import hazard
from imam_sim.model.newborn import no_newborns, settle
from imam_sim.model.params import Parameters
from imam_sim.model.rng import Draw
from imam_sim.model.rules import departure, fibre, injury, intervention, satellite
from imam_sim.model.state import Compartment, Ground, Kind, Now, Signal, Tissue, in_use, size
from imam_sim.model.step import after_death

DAY = 24.0  # h


def injure(tissue: Tissue, params: Parameters, pattern: str, fraction: float, now: Now, nth: int = 1) -> None:
    """The n-th injury from outside at this moment: kills a fraction of the living fibre area in a pattern, with what sits on it."""
    hit = injury.hit_by_injury(tissue.fibres, pattern, fraction, *size(tissue), nth, now)
    for f in np.flatnonzero(hit):
        fibre.necrose(int(f), tissue.fibres, tissue.voxels.ground, tissue.voxels.debris)
    satellite.die_with_fibre(in_use(tissue), hit, params.satellite.injury_death, nth, now)
    after_death(tissue, hit, params.vessel.injury_loss, nth, now)


def deplete(tissue: Tissue, kinds: Sequence[Kind], shares: Sequence[float], now: Now) -> None:
    """Remove cells of some kinds at the hazards, added up, each of which alone takes a share of them within a day."""
    rate = sum(hazard(share, DAY) for share in sorted(shares))
    for kind in kinds:
        departure.depart(in_use(tissue), int(kind), rate, int(Draw.DEPLETION), now)


def inject(tissue: Tissue, signal: Signal, amount: float, place: intervention.Place, transport: Transport) -> None:
    """Raise a signal by an amount [ng/mL, free and bound] in all voxels of a place."""
    where = intervention.voxels_at(place, tissue.voxels)
    ny, nx = where.shape
    share = where.reshape(ny // 2, 2, nx // 2, 2).mean(axis=(1, 3))  # quarters: exact
    put(tissue.fields, signal, amount * share, transport)


def transplant(
    tissue: Tissue, kind: Kind, number: int, levels: tuple[float, float], place: intervention.Place, nth: int, now: Now
) -> Tissue:
    """Put a number of cells with given inflammatory and repair levels into a place."""
    newborns = no_newborns(number)
    intervention.transplant(newborns, tissue.voxels, place, int(kind), number, *levels, nth, now)
    return settle(tissue, newborns, now)


def implant(tissue: Tissue, amount: float, place: intervention.Place) -> None:
    """Put persistent particles into the connective tissue of a place: `amount` of what fills a voxel, in each voxel."""
    where = intervention.voxels_at(place, tissue.voxels) & (tissue.voxels.ground == Ground.CONNECTIVE)
    tissue.voxels.particles[where] += amount


def infect(tissue: Tissue, peak: float) -> None:
    """Raise interferon in the blood by a peak [ng/mL]; it decays with its half-life."""
    tissue.blood[Compartment.INTERFERON] += peak
