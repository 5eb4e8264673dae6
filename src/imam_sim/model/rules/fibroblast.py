"""Fibroblasts and myofibroblasts, the collagen that they lay down, its turnover, and scar that closes open space."""

from __future__ import annotations

import numpy as np

from imam_sim.model.fields import QUANTUM, read, secrete, take
from imam_sim.model.jit import jit
from imam_sim.model.maths import chance, exp, hill, steep_block, steep_hill
from imam_sim.model.newborn import Newborns, bear
from imam_sim.model.params import Collagen, Fibroblast, Geometry
from imam_sim.model.rng import Draw, uniform
from imam_sim.model.space import hand_out, spread, touching, within_reach
from imam_sim.model.state import NOBODY, SIGNAL_VOXEL, VOXEL, Bytes, Cells, Floats, Ground, Ints, Kind, Longs, Now, Region, Signal, Voxels


@jit
def fibroblast_division(satellites: float, tgf: float, hgf: float, crowd: float, p: Fibroblast) -> float:
    """Hazard of division [1/h]: division_rate cue/(1 + cue) max(0, 1 - crowd/crowding).

    cue = satellites/satellite_half + TGF^2/(TGF^2 + tgf_half^2) + (HGF/hgf_half)^2; satellites and crowd are cells within reach
    [wellmixed]. HGF of injured tissue alerts fibroblasts as it does satellite cells [rodgers2017].
    """
    alarm = hgf / p.hgf_half
    cue = satellites / p.satellite_half + steep_hill(tgf, p.tgf_half) + alarm * alarm
    return p.division_rate * cue / (1.0 + cue) * max(0.0, 1.0 - crowd / p.crowding)


@jit
def surplus_loss(tnf: float, tgf: float, p: Fibroblast) -> float:
    """Hazard of losing a fibroblast that was born since the start [1/h].

    return_rate + tnf_death_rate TNF/(TNF + tnf_half) / (1 + (TGF/tgf_rescue_half)^2): TNF-alpha kills them, TGF-beta protects [lemos2015].
    """
    return p.return_rate + p.tnf_death_rate * hill(tnf, p.tnf_half) * steep_block(tgf, p.tgf_rescue_half)


@jit
def collagen_loss(macrophages: float, p: Collagen) -> float:
    """Rate at which collagen is lost [1/h]: turnover_rate (1 + mmp_gain x macrophages within reach) [wellmixed]."""
    return p.turnover_rate * (1.0 + p.mmp_gain * macrophages)


@jit
def scar_hazard(tgf: float, fibroblasts: float, p: Collagen) -> float:
    """Hazard of an open voxel becoming scar [1/h]: scar_rate TGF/(TGF + half) F/(F + half), F fibroblasts within reach [wellmixed]."""
    return p.scar_rate * hill(tgf, p.scar_tgf_half) * hill(fibroblasts, p.scar_fibroblast_half)


@jit
def fat_hazard(il4: float, fibroblasts: float, p: Collagen) -> float:
    """Hazard of an open voxel becoming fat [1/h]: fat_rate F/(F + half) / (1 + IL4/fat_il4_half), F fibroblasts within reach.

    Fibro-adipogenic progenitors turn to fat where repair fails; IL-4 keeps them from it [heredia2013].
    """
    return p.fat_rate * hill(fibroblasts, p.scar_fibroblast_half) / (1.0 + il4 / p.fat_il4_half)


@jit
def turn_over_fibroblasts(newborns: Newborns, cells: Cells, level: Floats, crowd: Ints, satellites: Ints, p: Fibroblast, now: Now) -> None:
    """Activate, calm, divide and lose fibroblasts (writes kind, newborns); crowd and satellites are counted per signal voxel."""
    calmed = chance(p.deactivation_rate, now.dt)
    for i in range(cells.kind.size):
        kind = cells.kind[i]
        if kind != Kind.FIBROBLAST and kind != Kind.MYOFIBROBLAST:
            continue
        x, y = cells.x[i], cells.y[i]
        tnf, tgf = read(level, Signal.TNF, x, y), read(level, Signal.TGF_BETA, x, y)
        if not cells.resident[i] and uniform(now, cells.id[i], Draw.FIBROBLAST_DEATH) < chance(surplus_loss(tnf, tgf, p), now.dt):
            cells.kind[i] = Kind.NONE
            continue
        if kind == Kind.MYOFIBROBLAST:
            if uniform(now, cells.id[i], Draw.FIBROBLAST_RETURN) < calmed:
                cells.kind[i] = Kind.FIBROBLAST
            continue
        if uniform(now, cells.id[i], Draw.FIBROBLAST_ACTIVATION) < chance(p.activation_rate * steep_hill(tgf, p.tgf_half), now.dt):
            cells.kind[i] = Kind.MYOFIBROBLAST
            continue
        hgf = read(level, Signal.HGF, x, y)
        n_satellites, n_crowd = within_reach(satellites, x, y, SIGNAL_VOXEL), within_reach(crowd, x, y, SIGNAL_VOXEL)
        if uniform(now, cells.id[i], Draw.FIBROBLAST_DIVISION) < chance(fibroblast_division(n_satellites, tgf, hgf, n_crowd, p), now.dt):
            bear(newborns, Draw.FIBROBLAST_DIVISION, cells.id[i], Kind.FIBROBLAST, x, y, 0.0, 0.0, 0.0, NOBODY)


@jit
def lay_collagen(laid: Longs, cells: Cells, ground: Bytes, voxel_volume: float, p: Collagen) -> None:
    """Spread each myofibroblast's deposition evenly over the connective and scar voxels in its reach (writes laid, in QUANTUM 1/h)."""
    for i in range(cells.kind.size):
        if cells.kind[i] != Kind.MYOFIBROBLAST:
            continue
        x, y = cells.x[i], cells.y[i]
        n = touching(ground, x, y, Ground.CONNECTIVE) + touching(ground, x, y, Ground.SCAR)
        if n > 0:
            part = int(p.deposition_rate / voxel_volume / n / QUANTUM)
            hand_out(laid, part, ground, x, y, Ground.CONNECTIVE)
            hand_out(laid, part, ground, x, y, Ground.SCAR)


@jit
def turn_over_collagen(voxels: Voxels, laid: Longs, macrophages: Ints, p: Collagen, geometry: Geometry, now: Now) -> None:
    """Let collagen approach what is made over what is lost (writes collagen).

    Law: dC/dt = turnover_rate C_rest + laid - loss C, solved exactly over the step; C_rest is the healthy level of the region.
    """
    rows, columns = voxels.ground.shape
    reached = np.zeros((rows, columns), np.int32)
    spread(reached, macrophages)
    most = 0
    for row in range(rows):
        for col in range(columns):
            most = max(most, reached[row, col])
    kept = np.empty(most + 1)
    for n in range(most + 1):
        kept[n] = exp(-now.dt * collagen_loss(n, p))
    for row in range(rows):
        for col in range(columns):
            ground = voxels.ground[row, col]
            if ground != Ground.CONNECTIVE and ground != Ground.SCAR:
                continue
            near = reached[row, col]
            made = p.turnover_rate * rest_collagen(voxels.region[row, col], geometry) + laid[row, col] * QUANTUM
            loss = collagen_loss(near, p)
            if loss == 0.0:
                voxels.collagen[row, col] += made * now.dt
                continue
            target = made / loss
            voxels.collagen[row, col] = target + (voxels.collagen[row, col] - target) * kept[near]


@jit
def rest_collagen(region: int, geometry: Geometry) -> float:
    """Healthy collagen of a region, relative to endomysium."""
    if region == Region.PERIMYSIUM:
        return geometry.perimysium_collagen
    if region == Region.FASCIA:
        return geometry.fascia_collagen
    return 1.0


@jit
def scar(voxels: Voxels, level: Floats, fibroblasts: Ints, p: Collagen, now: Now) -> None:
    """Close open voxels with scar or fat and reopen them (writes ground, collagen); fibroblasts are counted per signal voxel."""
    rows, columns = voxels.ground.shape
    reopened = chance(p.scar_loss_rate, now.dt)
    likeliest_scar, likeliest_fat = chance(p.scar_rate, now.dt), chance(p.fat_rate, now.dt)  # most voxels need no look around
    for row in range(rows):
        for col in range(columns):
            ground = voxels.ground[row, col]
            v = row * columns + col
            if ground == Ground.CLEARED:
                lot, lot_of_fat = uniform(now, v, Draw.FIBRE_SCAR), uniform(now, v, Draw.FIBRE_FAT)
                if lot >= likeliest_scar and lot_of_fat >= likeliest_fat:
                    continue
                x, y = (col + 0.5) * VOXEL, (row + 0.5) * VOXEL
                near = within_reach(fibroblasts, x, y, SIGNAL_VOXEL)
                if lot < chance(scar_hazard(read(level, Signal.TGF_BETA, x, y), near, p), now.dt):
                    voxels.ground[row, col] = Ground.SCAR
                    voxels.collagen[row, col] = p.scar_collagen
                elif lot_of_fat < chance(fat_hazard(read(level, Signal.IL4, x, y), near, p), now.dt):
                    voxels.ground[row, col] = Ground.FAT
            elif (ground == Ground.SCAR or ground == Ground.FAT) and uniform(now, v, Draw.FIBRE_SCAR) < reopened:
                voxels.ground[row, col] = Ground.CLEARED
                voxels.collagen[row, col] = 0.0


@jit
def secrete_as_fibroblast(
    secreted: Longs, taken: Longs, cells: Cells, level: Floats, dilution: float, uptake: Floats, p: Fibroblast
) -> None:
    """Give off TGF-beta and M-CSF, CCL2 where danger signals are, and take up TGF-beta (writes secreted, taken)."""
    for i in range(cells.kind.size):
        if cells.kind[i] == Kind.FIBROBLAST or cells.kind[i] == Kind.MYOFIBROBLAST:
            x, y = cells.x[i], cells.y[i]
            secrete(secreted, Signal.TGF_BETA, x, y, p.tgf_secretion_rate * dilution)
            secrete(secreted, Signal.MCSF, x, y, p.mcsf_secretion_rate * dilution)
            danger = hill(read(level, Signal.DAMP, x, y), p.damp_half)
            secrete(secreted, Signal.CCL2, x, y, p.ccl2_secretion_rate * danger * dilution)
            take(taken, Signal.TGF_BETA, x, y, uptake[Signal.TGF_BETA])
