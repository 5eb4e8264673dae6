"""Capillaries: closed when fibres at them die, reopened under VEGF that hypoxic tissue and macrophages give off."""

from __future__ import annotations

from imam_sim.model.fields import read, secrete, take
from imam_sim.model.jit import jit
from imam_sim.model.maths import chance, hill
from imam_sim.model.params import Vessel
from imam_sim.model.rng import Draw, uniform
from imam_sim.model.state import Fibres, Flags, Floats, Longs, Now, Signal, Vessels


@jit
def reopening(vegf: float, p: Vessel) -> float:
    """Hazard of a closed capillary carrying blood again [1/h]: regrowth_rate VEGF/(VEGF + vegf_half) [wellmixed]."""
    return p.regrowth_rate * hill(vegf, p.vegf_half)


@jit
def close_vessels(vessels: Vessels, fibres: Fibres, died: Flags, share: float, injury: int, now: Now) -> None:
    """Close a share of the capillaries at fibres that have just died, by the n-th injury of this moment or by none: 0 (writes perfused)."""
    for f in range(died.size):
        if died[f]:
            for k in range(fibres.first_vessel[f], fibres.first_vessel[f + 1]):
                i = fibres.vessels[k]
                if uniform(now, i, Draw.VESSEL_LOSS, injury) < share:
                    vessels.perfused[i] = False


@jit
def reopen(vessels: Vessels, level: Floats, p: Vessel, now: Now) -> None:
    """Reopen closed capillaries (writes perfused)."""
    for i in range(vessels.x.size):
        if not vessels.perfused[i]:
            rate = reopening(read(level, Signal.VEGF, vessels.x[i], vessels.y[i]), p)
            vessels.perfused[i] = uniform(now, i, Draw.VESSEL_REGROWTH) < chance(rate, now.dt)


@jit
def secrete_as_hypoxic(secreted: Longs, taken: Longs, vessels: Vessels, dilution: float, uptake: Floats, p: Vessel) -> None:
    """Give off VEGF around closed capillaries, whose cells take it up as well (writes secreted, taken)."""
    for i in range(vessels.x.size):
        if not vessels.perfused[i]:
            secrete(secreted, Signal.VEGF, vessels.x[i], vessels.y[i], p.vegf_rate * dilution)
            take(taken, Signal.VEGF, vessels.x[i], vessels.y[i], uptake[Signal.VEGF])
