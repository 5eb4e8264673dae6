"""Monocytes and macrophages: they mature, read their surroundings, eat, attack, secrete, divide and die.

A macrophage has two continuous activation levels, inflammatory a and repair r, each 0-1 and each driven by its own cues, because cells of
the first day express both programmes [wang2018]. M1 and M2 are names that only outcomes use.
"""

from __future__ import annotations

from imam_sim.model.fields import QUANTUM, read, secrete, take
from imam_sim.model.jit import jit
from imam_sim.model.maths import chance, exp, hill, relax
from imam_sim.model.newborn import Newborns, bear
from imam_sim.model.params import Engulfment, FibreInjury, InflammatoryActivation, Macrophage, MacrophageDeath, Monocyte, RepairActivation
from imam_sim.model.rng import Draw, uniform
from imam_sim.model.space import column, hand_out, hand_to_fibres, neighbours, touching, within_reach
from imam_sim.model.state import NOBODY, VOXEL, Bytes, Cells, Floats, Ground, Ints, Kind, Longs, Now, Signal


@jit
def inflammatory_target(damp: float, tnf: float, ifn: float, il10: float, il4: float, p: InflammatoryActivation) -> float:
    """The inflammatory level that a macrophage heads for.

    a* = I / (I + 1 + IL10/il10_half + IL4/il4_half),  I = DAMP/damp_half + TNF/tnf_half + ifn_gain IFN/(IFN + ifn_half); signals in ng/mL
    [wellmixed]. Danger signals, TNF-alpha and interferon-gamma drive it, IL-10 [deng2012] and IL-4 oppose it.
    """
    drive = damp / p.damp_half + tnf / p.tnf_half + p.ifn_gain * hill(ifn, p.ifn_half)
    return drive / (drive + 1.0 + il10 / p.il10_half + il4 / p.il4_half)


@jit
def repair_target(load: float, il10: float, il4: float, ifn: float, damp: float, p: RepairActivation) -> float:
    """The repair level that a macrophage heads for.

    r* = R / (R + 1 + ifn_gain IFN/(IFN + ifn_half) + DAMP/damp_half),  R = load/load_half + IL10/il10_half + IL4/il4_half + ampk_drive;
    load in um3, signals in ng/mL [wellmixed]. Engulfing debris is what switches the cell [arnold2007].
    """
    drive = load / p.load_half + il10 / p.il10_half + il4 / p.il4_half + p.ampk_drive
    return drive / (drive + 1.0 + p.ifn_gain * hill(ifn, p.ifn_half) + damp / p.damp_half)


@jit
def appetite(repair: float, il10: float, p: Engulfment) -> float:
    """Debris that a macrophage in full contact clears [um3/h].

    rate (r + inflammatory_share (1 - r)) (1 + il10_gain IL10/(IL10 + il10_half)) / (1 + il10_gain/2): repair cells eat faster [wellmixed].
    """
    return (
        p.rate
        * (repair + p.inflammatory_share * (1.0 - repair))
        * (1.0 + p.il10_gain * hill(il10, p.il10_half))
        / (1.0 + p.il10_gain / 2.0)
    )


@jit
def attack_hazard(inflammatory: float, ifn: float, tnf: float, il10: float, p: FibreInjury) -> float:
    """Hazard of death [1/h] that a macrophage spreads over the fibres that it touches.

    macrophage_rate a arming poison / (1 + IL10/il10_half), arming = unarmed_share + (1 - unarmed_share) IFN/(IFN + ifn_half),
    poison = tnf_free_share + (1 - tnf_free_share) TNF/(TNF + tnf_half). Without interferon-gamma there is next to no attack: that keeps
    acute inflammation harmless and makes the T-cell loop necessary for chronic disease [wellmixed].
    """
    arming = p.unarmed_share + (1.0 - p.unarmed_share) * hill(ifn, p.ifn_half)
    poison = p.tnf_free_share + (1.0 - p.tnf_free_share) * hill(tnf, p.tnf_half)
    return p.macrophage_rate * inflammatory * arming * poison / (1.0 + il10 / p.il10_half)


@jit
def death_hazard(inflammatory: float, mcsf: float, tnf: float, p: MacrophageDeath) -> float:
    """Hazard of death [1/h]: rate + starved_rate mcsf_half/(MCSF + mcsf_half) + tnf_rate a TNF/(TNF + tnf_half) [wellmixed]."""
    return p.rate + p.starved_rate * hill(p.mcsf_half, mcsf) + p.tnf_rate * inflammatory * hill(tnf, p.tnf_half)


@jit
def mature_monocytes(cells: Cells, p: Monocyte, at_inflammatory: float, at_repair: float, now: Now) -> None:
    """Let monocytes die at death_rate or become macrophages at 1 / maturation_time (writes kind, inflammatory, repair)."""
    dead = chance(p.death_rate, now.dt)
    due = chance(1.0 / p.maturation_time, now.dt)
    for i in range(cells.kind.size):
        if cells.kind[i] != Kind.MONOCYTE:
            continue
        if uniform(now, cells.id[i], Draw.MONOCYTE_DEATH) < dead:
            cells.kind[i] = Kind.NONE
        elif uniform(now, cells.id[i], Draw.MONOCYTE_MATURATION) < due:
            cells.kind[i] = Kind.MACROPHAGE
            cells.inflammatory[i] = at_inflammatory
            cells.repair[i] = at_repair


@jit
def activate(cells: Cells, level: Floats, p: Macrophage, now: Now) -> None:
    """Let both levels relax to their targets and digest the load (writes inflammatory, repair, load)."""
    digested = exp(-now.dt / p.engulfment.digestion_time)
    for i in range(cells.kind.size):
        if cells.kind[i] != Kind.MACROPHAGE:
            continue
        x, y = cells.x[i], cells.y[i]
        damp, tnf, ifn = read(level, Signal.DAMP, x, y), read(level, Signal.TNF, x, y), read(level, Signal.IFN_GAMMA, x, y)
        il10, il4 = read(level, Signal.IL10, x, y), read(level, Signal.IL4, x, y)
        a = inflammatory_target(damp, tnf, ifn, il10, il4, p.inflammatory_activation)
        r = repair_target(cells.load[i], il10, il4, ifn, damp, p.repair_activation)
        cells.inflammatory[i] = relax(cells.inflammatory[i], a, p.inflammatory_activation.time, now.dt)
        cells.repair[i] = relax(cells.repair[i], r, p.repair_activation.time, now.dt)
        cells.load[i] *= digested


@jit
def bite_as_macrophage(bites: Longs, cells: Cells, level: Floats, ground: Bytes, p: Engulfment) -> None:
    """Offer each macrophage's appetite in equal parts to the dead voxels that it touches (writes bites, in steps of QUANTUM um3/h)."""
    for i in range(cells.kind.size):
        if cells.kind[i] == Kind.MACROPHAGE:
            part = portion(cells, i, level, ground, p)
            if part > 0:
                hand_out(bites, part, ground, cells.x[i], cells.y[i], Ground.NECROTIC)


@jit
def portion(cells: Cells, i: int, level: Floats, ground: Bytes, p: Engulfment) -> int:
    """The appetite of cell `i` for each dead voxel in its reach, in steps of QUANTUM um3/h; 0 where there is none."""
    n = touching(ground, cells.x[i], cells.y[i], Ground.NECROTIC)
    if n == 0:
        return 0
    return int(appetite(cells.repair[i], read(level, Signal.IL10, cells.x[i], cells.y[i]), p) / n / QUANTUM)


@jit
def swallow(
    cells: Cells,
    bites: Longs,
    lost: Floats,
    eaten: Ints,
    macrophages: Ints,
    level: Floats,
    ground_before: Bytes,
    corpse_volume: float,
    p: Engulfment,
) -> None:
    """Add to each macrophage's load its share of the debris and of the corpses that vanished in its reach (writes load).

    Of the debris lost from a voxel each eater gets the share that it had of all bites; of a corpse, each macrophage in reach an equal part.
    """
    rows, columns = ground_before.shape
    for i in range(cells.kind.size):
        if cells.kind[i] != Kind.MACROPHAGE:
            continue
        part = portion(cells, i, level, ground_before, p)
        row_from, row_to = neighbours(column(cells.y[i], rows, VOXEL), rows)
        col_from, col_to = neighbours(column(cells.x[i], columns, VOXEL), columns)
        meal = 0.0
        for row in range(row_from, row_to):
            for col in range(col_from, col_to):
                if part > 0 and ground_before[row, col] == Ground.NECROTIC:
                    meal += lost[row, col] * (part / bites[row, col])
                if eaten[row, col] > 0:
                    diners = within_reach(macrophages, (col + 0.5) * VOXEL, (row + 0.5) * VOXEL, VOXEL)
                    meal += eaten[row, col] * corpse_volume / diners
        cells.load[i] += meal


@jit
def attack(attacks: Longs, cells: Cells, level: Floats, ground: Bytes, fibre: Ints, p: FibreInjury) -> None:
    """Spread each macrophage's attack evenly over the living fibre voxels that it touches (writes attacks per fibre, in QUANTUM 1/h)."""
    for i in range(cells.kind.size):
        if cells.kind[i] == Kind.MACROPHAGE:
            x, y = cells.x[i], cells.y[i]
            ifn, tnf, il10 = read(level, Signal.IFN_GAMMA, x, y), read(level, Signal.TNF, x, y), read(level, Signal.IL10, x, y)
            hand_to_fibres(attacks, attack_hazard(cells.inflammatory[i], ifn, tnf, il10, p) / QUANTUM, ground, fibre, x, y)


@jit
def divide_macrophages(newborns: Newborns, cells: Cells, p: Macrophage, now: Now) -> None:
    """Divide at the hazard division_rate r load/(load + division_load_half); both daughters keep half the load (writes newborns, load)."""
    for i in range(cells.kind.size):
        if cells.kind[i] != Kind.MACROPHAGE:
            continue
        rate = p.division_rate * cells.repair[i] * hill(cells.load[i], p.division_load_half)
        if uniform(now, cells.id[i], Draw.MACROPHAGE_DIVISION) < chance(rate, now.dt):
            cells.load[i] /= 2.0
            bear(
                newborns,
                Draw.MACROPHAGE_DIVISION,
                cells.id[i],
                Kind.MACROPHAGE,
                cells.x[i],
                cells.y[i],
                cells.inflammatory[i],
                cells.repair[i],
                cells.load[i],
                NOBODY,
            )


@jit
def kill_macrophages(cells: Cells, level: Floats, p: MacrophageDeath, now: Now) -> None:
    """Remove macrophages at their hazard of death (writes kind)."""
    for i in range(cells.kind.size):
        if cells.kind[i] != Kind.MACROPHAGE:
            continue
        mcsf = read(level, Signal.MCSF, cells.x[i], cells.y[i])
        tnf = read(level, Signal.TNF, cells.x[i], cells.y[i])
        rate = death_hazard(cells.inflammatory[i], mcsf, tnf, p)
        if uniform(now, cells.id[i], Draw.MACROPHAGE_DEATH) < chance(rate, now.dt):
            cells.kind[i] = Kind.NONE


@jit
def presentation(cells: Cells, load_half: float) -> float:
    """Macrophages that present antigen, in whole cells: sum of a load/(load + load_half), in whole numbers so that order is nothing."""
    total = 0
    for i in range(cells.kind.size):
        if cells.kind[i] == Kind.MACROPHAGE:
            total += int(cells.inflammatory[i] * hill(cells.load[i], load_half) / QUANTUM)
    return total * QUANTUM


@jit
def secrete_as_macrophage(secreted: Longs, taken: Longs, cells: Cells, dilution: float, uptake: Floats, p: Macrophage) -> None:
    """Give off signals by activation level and take up those with receptors (writes secreted, taken).

    TNF, CCL2 and IL-1beta in proportion to a; IL-10, TGF-beta and IGF-1 in proportion to r; IL-6 and VEGF always. Monocytes only take up
    CCL2 and M-CSF.
    """
    s = p.secretion
    for i in range(cells.kind.size):
        kind = cells.kind[i]
        if kind != Kind.MACROPHAGE and kind != Kind.MONOCYTE:
            continue
        x, y = cells.x[i], cells.y[i]
        take(taken, Signal.CCL2, x, y, uptake[Signal.CCL2])
        take(taken, Signal.MCSF, x, y, uptake[Signal.MCSF])
        if kind == Kind.MONOCYTE:
            continue
        a, r = cells.inflammatory[i], cells.repair[i]
        secrete(secreted, Signal.TNF, x, y, s.tnf_rate * a * dilution)
        secrete(secreted, Signal.CCL2, x, y, s.ccl2_rate * a * dilution)
        secrete(secreted, Signal.IL1B, x, y, s.il1_rate * a * dilution)
        secrete(secreted, Signal.IL6, x, y, s.il6_rate * dilution)
        secrete(secreted, Signal.IL10, x, y, s.il10_rate * r * dilution)
        secrete(secreted, Signal.TGF_BETA, x, y, s.tgf_rate * r * dilution)
        secrete(secreted, Signal.IGF1, x, y, s.igf1_rate * r * dilution)
        secrete(secreted, Signal.VEGF, x, y, s.vegf_rate * dilution)
        take(taken, Signal.DAMP, x, y, uptake[Signal.DAMP])
        take(taken, Signal.TNF, x, y, uptake[Signal.TNF])
        take(taken, Signal.IFN_GAMMA, x, y, uptake[Signal.IFN_GAMMA])
        take(taken, Signal.IL1B, x, y, uptake[Signal.IL1B])
        take(taken, Signal.IL4, x, y, uptake[Signal.IL4])
        take(taken, Signal.IL10, x, y, uptake[Signal.IL10])
