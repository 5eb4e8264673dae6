"""Capillaries: closed when fibres at them die or complement covers them, reopened, sprouting and pruned as VEGF has it."""

from __future__ import annotations

from imam_sim.model.fields import read, secrete, take
from imam_sim.model.jit import jit
from imam_sim.model.maths import chance, hill, steep_hill
from imam_sim.model.params import Vessel
from imam_sim.model.rng import Draw, uniform
from imam_sim.model.state import Fibres, Flags, Floats, Ints, Longs, Now, Signal, VesselKind, Vessels


@jit
def reopening(vegf: float, p: Vessel) -> float:
    """Hazard of a closed vessel carrying blood again [1/h]: regrowth_rate VEGF/(VEGF + vegf_half) [wellmixed]."""
    return p.regrowth_rate * hill(vegf, p.vegf_half)


@jit
def sprouting(vegf: float, p: Vessel) -> float:
    """Hazard of a new capillary at a site beside an open one [1/h]: sprouting_rate VEGF^2/(VEGF^2 + sprouting_half^2) [handset]."""
    return p.sprouting_rate * steep_hill(vegf, p.sprouting_half)


@jit
def pruning(vegf: float, p: Vessel) -> float:
    """Hazard of a new capillary going again [1/h]: pruning_rate sprouting_half/(VEGF + sprouting_half); VEGF keeps it [handset]."""
    return p.pruning_rate * hill(p.sprouting_half, vegf)


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
    """Reopen closed capillaries and venules (writes perfused)."""
    for i in range(vessels.x.size):
        if not vessels.perfused[i] and vessels.kind[i] != VesselKind.SPROUT:
            rate = reopening(read(level, Signal.VEGF, vessels.x[i], vessels.y[i]), p)
            vessels.perfused[i] = uniform(now, i, Draw.VESSEL_REGROWTH) < chance(rate, now.dt)


@jit
def sprout(vessels: Vessels, level: Floats, p: Vessel, now: Now) -> None:
    """Let capillaries sprout at their sites and lose sprouts; without its parent a sprout carries no blood and goes (writes perfused)."""
    for i in range(vessels.x.size):
        if vessels.kind[i] != VesselKind.SPROUT:
            continue
        if not vessels.perfused[vessels.parent[i]]:
            vessels.perfused[i] = False
            continue
        vegf = read(level, Signal.VEGF, vessels.x[i], vessels.y[i])
        if vessels.perfused[i]:
            vessels.perfused[i] = uniform(now, i, Draw.PRUNING) >= chance(pruning(vegf, p), now.dt)
        else:
            vessels.perfused[i] = uniform(now, i, Draw.SPROUTING) < chance(sprouting(vegf, p), now.dt)


@jit
def close_by_complement(vessels: Vessels, p: Vessel, now: Now) -> None:
    """Close vessels at the hazard complement_rate x deposition (writes perfused)."""
    for i in range(vessels.x.size):
        if vessels.perfused[i] and vessels.complement[i] > 0.0:
            due = chance(p.complement_rate * vessels.complement[i], now.dt)
            vessels.perfused[i] = uniform(now, i, Draw.VESSEL_COMPLEMENT) >= due


@jit
def supply(open_here: Ints, vessels: Vessels) -> None:
    """How many open vessels stand at each vessel: itself and its sprouts; 0 at the sites of sprouts (writes open_here)."""
    for i in range(open_here.size):
        open_here[i] = 0
    for i in range(vessels.x.size):
        if vessels.perfused[i]:
            open_here[vessels.parent[i] if vessels.kind[i] == VesselKind.SPROUT else i] += 1


@jit
def secrete_as_hypoxic(secreted: Longs, taken: Longs, vessels: Vessels, dilution: float, uptake: Floats, p: Vessel) -> None:
    """Give off VEGF and CCL2 around closed vessels, whose cells take VEGF up as well (writes secreted, taken)."""
    for i in range(vessels.x.size):
        if not vessels.perfused[i] and vessels.kind[i] != VesselKind.SPROUT:
            secrete(secreted, Signal.VEGF, vessels.x[i], vessels.y[i], p.vegf_rate * dilution)
            secrete(secreted, Signal.CCL2, vessels.x[i], vessels.y[i], p.ccl2_rate * dilution)
            take(taken, Signal.VEGF, vessels.x[i], vessels.y[i], uptake[Signal.VEGF])
