"""Persistent particles: they alarm the cells around them, nobody digests them, and they dissolve over years."""

from __future__ import annotations

from imam_sim.model.fields import VOXEL_SHARE, secrete_voxel
from imam_sim.model.jit import jit
from imam_sim.model.maths import exp
from imam_sim.model.params import Particle
from imam_sim.model.state import Floats, Longs, Now, Signal


@jit
def dissolve(particles: Floats, p: Particle, now: Now) -> None:
    """Let particles dissolve at dissolution_rate (writes particles)."""
    kept = exp(-p.dissolution_rate * now.dt)
    flat = particles.ravel()
    for v in range(flat.size):
        flat[v] *= kept


@jit
def secrete_as_particle(secreted: Longs, particles: Floats, p: Particle) -> None:
    """Danger signals and CCL2 where particles lie, by their amount (writes secreted)."""
    rows, columns = particles.shape
    for row in range(rows):
        for col in range(columns):
            amount = particles[row, col] * VOXEL_SHARE
            if amount > 0.0:
                secrete_voxel(secreted, Signal.DAMP, row // 2, col // 2, amount * p.damp_rate)
                secrete_voxel(secreted, Signal.CCL2, row // 2, col // 2, amount * p.ccl2_rate)
