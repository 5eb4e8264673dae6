"""Chance: every random number is a pure function of (seed, step, id, decision).

The generator is Philox4x32-10, a counter run through ten rounds of a keyed bijection [salmon2011]. The key is the seed, the counter is
made of the id of whoever decides, the number of the step and the decision. So a result does not depend on the order of cells, on
threads, on jobs or on interruptions, and two arms with one seed differ only by what the scenario changed.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from imam_sim.model.jit import jit
from imam_sim.model.state import Now

MULTIPLIER_0 = np.uint64(0xD2511F53)
MULTIPLIER_1 = np.uint64(0xCD9E8D57)
WEYL_0 = np.uint64(0x9E3779B9)
WEYL_1 = np.uint64(0xBB67AE85)
WORD = np.uint64(0xFFFFFFFF)
SHIFT = np.uint64(32)
CUT_5 = np.uint64(5)
CUT_6 = np.uint64(6)
TOP = 67108864.0  # 2^26
UNIT = 1.0 / 9007199254740992.0  # 2^-53


class Draw(IntEnum):
    """Every random decision of the model. A number is never given to another decision, so old runs keep their draws."""

    MOVE = 1
    PLACE_CONTEST = 2
    TURN = 3
    NEUTROPHIL_ENTRY = 10
    NEUTROPHIL_APOPTOSIS = 11
    NEUTROPHIL_LYSIS = 12
    NEUTROPHIL_EATEN = 13
    MONOCYTE_ENTRY = 20
    MONOCYTE_MATURATION = 21
    MONOCYTE_DEATH = 22
    MACROPHAGE_DEATH = 30
    MACROPHAGE_DIVISION = 31
    CD4_ENTRY = 40
    CD4_DIVISION = 41
    CD4_DEATH = 42
    REGULATORY_ENTRY = 43
    REGULATORY_DEATH = 44
    CD8_ENTRY = 45
    CD8_DEATH = 46
    B_CELL_ENTRY = 47
    B_CELL_DEATH = 48
    SATELLITE_ACTIVATION = 50
    SATELLITE_DIVISION = 51
    SATELLITE_RENEWAL = 52
    SATELLITE_DIFFERENTIATION = 53
    SATELLITE_DEATH = 54
    SATELLITE_INJURY = 55
    SATELLITE_SURPLUS = 59
    MYOCYTE_FUSION = 56
    MYOCYTE_DEATH = 57
    MYOCYTE_CHOICE = 58
    FIBROBLAST_DIVISION = 60
    FIBROBLAST_DEATH = 61
    FIBROBLAST_ACTIVATION = 62
    FIBROBLAST_RETURN = 63
    FIBRE_NECROSIS = 70
    FIBRE_MATURATION = 71
    FIBRE_SCAR = 72
    FIBRE_FAT = 73
    FIBRE_ELONGATION = 74
    VESSEL_LOSS = 80
    VESSEL_REGROWTH = 81
    VESSEL_COMPLEMENT = 82
    SPROUTING = 83
    PRUNING = 84
    NEWBORN_PLACE = 90
    EVENT_FIBRE = 100
    EVENT_PLACE = 101
    DEPLETION = 102
    TRANSPLANT_PLACE = 103
    INITIAL_SEED = 110
    INITIAL_AREA = 111
    INITIAL_FASCICLE = 112
    INITIAL_CAPILLARY = 113
    INITIAL_CELL = 114
    INITIAL_HEADING = 115
    INITIAL_VENULE = 116
    POT_PIECE_EATEN = 200  # as the next two, of the stirred pot only
    POT_PIECE_FILLED = 201
    POT_CAPILLARY_CLOSED = 202


@jit
def philox(
    c0: np.uint64, c1: np.uint64, c2: np.uint64, c3: np.uint64, k0: np.uint64, k1: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """Ten rounds of Philox4x32 on a 128-bit counter under a 64-bit key; all words 32 bits wide, carried in uint64 [salmon2011]."""
    for _ in range(10):
        p0 = MULTIPLIER_0 * c0
        p1 = MULTIPLIER_1 * c2
        c0, c1, c2, c3 = (p1 >> SHIFT) ^ c1 ^ k0, p1 & WORD, (p0 >> SHIFT) ^ c3 ^ k1, p0 & WORD
        k0 = (k0 + WEYL_0) & WORD
        k1 = (k1 + WEYL_1) & WORD
    return c0, c1, c2, c3


@jit
def words(now: Now, id: int, draw: int, attempt: int) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    """The four random 32-bit words of one decision. `attempt` tells apart repeated decisions of one kind within one step."""
    who = np.uint64(id)
    what = np.uint64(draw) | (np.uint64(attempt) << np.uint64(16))
    seed = np.uint64(now.seed)
    return philox(who & WORD, who >> SHIFT, np.uint64(now.step), what, seed & WORD, seed >> SHIFT)


@jit
def unit(high: np.uint64, low: np.uint64) -> float:
    """A multiple of 2^-53 in [0, 1) from the top bits of two words."""
    return (float(high >> CUT_5) * TOP + float(low >> CUT_6)) * UNIT


@jit
def uniform(now: Now, id: int, draw: int, attempt: int = 0) -> float:
    """One number in [0, 1) for (seed, step, id, decision)."""
    w0, w1, _, _ = words(now, id, draw, attempt)
    return unit(w0, w1)


@jit
def uniform_pair(now: Now, id: int, draw: int, attempt: int = 0) -> tuple[float, float]:
    """Two independent numbers in [0, 1) for one decision."""
    w0, w1, w2, w3 = words(now, id, draw, attempt)
    return unit(w0, w1), unit(w2, w3)


@jit
def direction(now: Now, id: int, draw: int, attempt: int = 0) -> tuple[float, float]:
    """A random unit vector, by rejection from the square so that no library cosine is needed.

    The tries of one call are told apart in the upper bits of `attempt`, which must stay below 2^10. Sixteen tries miss the disc once in
    2e9 calls; then the vector is (1, 0).
    """
    for k in range(16):
        a, b = uniform_pair(now, id, draw, attempt + (k << 10))
        x, y = 2.0 * a - 1.0, 2.0 * b - 1.0
        square = x * x + y * y
        if 0.0625 < square < 1.0:
            length = np.sqrt(square)
            return x / length, y / length
    return 1.0, 0.0
