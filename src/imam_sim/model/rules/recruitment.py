"""Recruitment: blood cells enter through perfused capillaries, at hazards set by the signals around each capillary."""

from __future__ import annotations

from imam_sim.model.fields import read
from imam_sim.model.jit import jit
from imam_sim.model.maths import chance, hill, steep_hill
from imam_sim.model.newborn import Newborns, bear
from imam_sim.model.params import Antibody, Cd4, Cd8, MonocyteEntry, Neutrophil, RegulatoryT
from imam_sim.model.rng import Draw, uniform
from imam_sim.model.state import NOBODY, Floats, Kind, Now, Signal, VesselKind, Vessels


@jit
def neutrophil_entry(il1: float, p: Neutrophil) -> float:
    """Hazard of one neutrophil entering through a capillary [1/h]: entry_rate IL1/(IL1 + il1_half) [wellmixed]."""
    return p.entry_rate * hill(il1, p.il1_half)


@jit
def monocyte_entry(ccl2: float, blood_monocytes: float, p: MonocyteEntry) -> float:
    """Hazard of one monocyte entering through a capillary [1/h].

    blood (basal_rate + stimulated_rate (share through CCR2 + share without) CCL2^2/(CCL2^2 + ccl2_half^2)); blood is the monocyte count
    relative to health [wellmixed]. The share that needs CCR2 is what a knock-out takes away [arnold2007].
    """
    open_share = p.ccr2_free_share + (1.0 - p.ccr2_free_share) * p.ccr2
    return blood_monocytes * (p.basal_rate + p.stimulated_rate * open_share * steep_hill(ccl2, p.ccl2_half))


@jit
def cd4_entry(recognition: float, memory: float, p: Cd4) -> float:
    """Hazard of one CD4 cell entering through a vessel [1/h].

    entry_rate recognition (1 + memory_gain memory) + reactivation_rate memory (1 - tolerance): memory cells answer more strongly, and a
    few come without antigen, which makes relapse possible [wellmixed]. For recognition see t_cell.
    """
    return p.entry_rate * recognition * (1.0 + p.memory_gain * memory) + p.reactivation_rate * memory * (1.0 - p.tolerance)


@jit
def cd8_entry(recognition: float, ifn: float, p: Cd8) -> float:
    """Hazard of one CD8 cell entering through a vessel [1/h]: entry_rate recognition IFN/(IFN + ifn_half); CD4 help comes as IFN."""
    return p.entry_rate * recognition * hill(ifn, p.ifn_half)


@jit
def admit_neutrophils(newborns: Newborns, vessels: Vessels, level: Floats, p: Neutrophil, now: Now) -> None:
    """Let neutrophils in (writes newborns)."""
    for i in range(vessels.x.size):
        if vessels.perfused[i]:
            rate = neutrophil_entry(read(level, Signal.IL1B, vessels.x[i], vessels.y[i]), p)
            if uniform(now, i, Draw.NEUTROPHIL_ENTRY) < chance(rate, now.dt):
                bear(newborns, Draw.NEUTROPHIL_ENTRY, i, Kind.NEUTROPHIL, vessels.x[i], vessels.y[i], 0.0, 0.0, 0.0, NOBODY)


@jit
def admit_monocytes(newborns: Newborns, vessels: Vessels, level: Floats, blood_monocytes: float, p: MonocyteEntry, now: Now) -> None:
    """Let monocytes in (writes newborns)."""
    for i in range(vessels.x.size):
        if vessels.perfused[i]:
            rate = monocyte_entry(read(level, Signal.CCL2, vessels.x[i], vessels.y[i]), blood_monocytes, p)
            if uniform(now, i, Draw.MONOCYTE_ENTRY) < chance(rate, now.dt):
                bear(newborns, Draw.MONOCYTE_ENTRY, i, Kind.MONOCYTE, vessels.x[i], vessels.y[i], 0.0, 0.0, 0.0, NOBODY)


@jit
def admit_cd4(newborns: Newborns, vessels: Vessels, recognition: float, memory: float, p: Cd4, now: Now) -> None:
    """Let CD4 cells in (writes newborns)."""
    due = chance(cd4_entry(recognition, memory, p), now.dt)
    for i in range(vessels.x.size):
        if vessels.perfused[i] and uniform(now, i, Draw.CD4_ENTRY) < due:
            bear(newborns, Draw.CD4_ENTRY, i, Kind.CD4, vessels.x[i], vessels.y[i], 0.0, 0.0, 0.0, NOBODY)


@jit
def admit_regulatory(newborns: Newborns, vessels: Vessels, antigen: float, p: RegulatoryT, now: Now) -> None:
    """Let regulatory T cells in at the hazard entry_rate x antigen that is presented, tolerated or not (writes newborns)."""
    due = chance(p.entry_rate * antigen, now.dt)
    for i in range(vessels.x.size):
        if vessels.perfused[i] and uniform(now, i, Draw.REGULATORY_ENTRY) < due:
            bear(newborns, Draw.REGULATORY_ENTRY, i, Kind.REGULATORY_T, vessels.x[i], vessels.y[i], 0.0, 0.0, 0.0, NOBODY)


@jit
def admit_cd8(newborns: Newborns, vessels: Vessels, level: Floats, recognition: float, p: Cd8, now: Now) -> None:
    """Let CD8 cells in (writes newborns)."""
    if recognition == 0.0:
        return
    for i in range(vessels.x.size):
        if vessels.perfused[i]:
            rate = cd8_entry(recognition, read(level, Signal.IFN_GAMMA, vessels.x[i], vessels.y[i]), p)
            if uniform(now, i, Draw.CD8_ENTRY) < chance(rate, now.dt):
                bear(newborns, Draw.CD8_ENTRY, i, Kind.CD8, vessels.x[i], vessels.y[i], 0.0, 0.0, 0.0, NOBODY)


@jit
def admit_b_cells(newborns: Newborns, vessels: Vessels, recognition: float, p: Antibody, now: Now) -> None:
    """Let B cells in through venules at the hazard b_cell_entry_rate x recognition, since T cells must help them (writes newborns)."""
    due = chance(p.b_cell_entry_rate * recognition, now.dt)
    for i in range(vessels.x.size):
        if vessels.perfused[i] and vessels.kind[i] == VesselKind.VENULE and uniform(now, i, Draw.B_CELL_ENTRY) < due:
            bear(newborns, Draw.B_CELL_ENTRY, i, Kind.B_CELL, vessels.x[i], vessels.y[i], 0.0, 0.0, 0.0, NOBODY)
