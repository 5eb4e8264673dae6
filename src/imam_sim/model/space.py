"""Where things are: voxels, neighbours, and how many cells of a kind stand where."""

from __future__ import annotations

from imam_sim.model.jit import jit
from imam_sim.model.state import VOXEL, Bytes, Floats, Ground, Ints, Longs


@jit
def column(x: float, n: int, edge: float) -> int:
    """The column (or row) of a coordinate [um] among `n` voxels of an edge [um]; what lies on the far wall belongs to the last one."""
    return min(max(int(x / edge), 0), n - 1)


@jit
def neighbours(i: int, n: int) -> tuple[int, int]:
    """First and one past the last index within one step of `i` among `n`."""
    return max(i - 1, 0), min(i + 2, n)


@jit
def tally(counts: Ints, kind: Bytes, x: Floats, y: Floats, wanted: int, edge: float) -> None:
    """Count the cells of one kind in each voxel of an edge [um] (writes counts, (rows, columns))."""
    rows, columns = counts.shape
    for row in range(rows):
        for col in range(columns):
            counts[row, col] = 0
    for i in range(kind.size):
        if kind[i] == wanted:
            counts[column(y[i], rows, edge), column(x[i], columns, edge)] += 1


@jit
def within_reach(counts: Ints, x: float, y: float, edge: float) -> int:
    """How many counted cells stand in the 3 x 3 voxels around a place."""
    rows, columns = counts.shape
    row_from, row_to = neighbours(column(y, rows, edge), rows)
    col_from, col_to = neighbours(column(x, columns, edge), columns)
    n = 0
    for row in range(row_from, row_to):
        for col in range(col_from, col_to):
            n += counts[row, col]
    return n


@jit
def spread(reached: Ints, counts: Ints) -> None:
    """How many counted cells stand in the 3 x 3 voxels around every voxel (adds to reached); quick where cells are few."""
    rows, columns = counts.shape
    for row in range(rows):
        for col in range(columns):
            if counts[row, col] > 0:
                row_from, row_to = neighbours(row, rows)
                col_from, col_to = neighbours(col, columns)
                for r in range(row_from, row_to):
                    for c in range(col_from, col_to):
                        reached[r, c] += counts[row, col]


@jit
def living(ground: int) -> bool:
    """Whether a voxel is living fibre, which no cell enters."""
    return ground == Ground.FIBRE or ground == Ground.REGENERATING


@jit
def vacant(ground: int) -> bool:
    """Whether a voxel inside the outline of a fibre is free for it to fill."""
    return ground == Ground.CLEARED or ground == Ground.VACATED


@jit
def ground_at(ground: Bytes, x: float, y: float) -> int:
    """What the tissue is made of at a place [um]."""
    rows, columns = ground.shape
    return int(ground[column(y, rows, VOXEL), column(x, columns, VOXEL)])


@jit
def touching(ground: Bytes, x: float, y: float, wanted: int) -> int:
    """How many of the 3 x 3 voxels around a place [um] are of one ground."""
    rows, columns = ground.shape
    row_from, row_to = neighbours(column(y, rows, VOXEL), rows)
    col_from, col_to = neighbours(column(x, columns, VOXEL), columns)
    n = 0
    for row in range(row_from, row_to):
        for col in range(col_from, col_to):
            n += ground[row, col] == wanted
    return n


@jit
def hand_to_fibres(sums: Longs, whole: float, ground: Bytes, fibre: Ints, x: float, y: float) -> None:
    """Spread `whole` evenly over the living fibre voxels among the 3 x 3 around a place [um], in whole steps (adds to sums, per fibre)."""
    rows, columns = ground.shape
    row_from, row_to = neighbours(column(y, rows, VOXEL), rows)
    col_from, col_to = neighbours(column(x, columns, VOXEL), columns)
    n = 0
    for row in range(row_from, row_to):
        for col in range(col_from, col_to):
            n += living(ground[row, col])
    if n == 0:
        return
    part = int(whole / n)
    for row in range(row_from, row_to):
        for col in range(col_from, col_to):
            if living(ground[row, col]):
                sums[fibre[row, col]] += part


@jit
def hand_out(sums: Longs, part: int, ground: Bytes, x: float, y: float, wanted: int) -> None:
    """Give each of the 3 x 3 voxels around a place [um] that are of one ground a part (adds to sums, per tissue voxel)."""
    rows, columns = ground.shape
    row_from, row_to = neighbours(column(y, rows, VOXEL), rows)
    col_from, col_to = neighbours(column(x, columns, VOXEL), columns)
    for row in range(row_from, row_to):
        for col in range(col_from, col_to):
            if ground[row, col] == wanted:
                sums[row, col] += part
