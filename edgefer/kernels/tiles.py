"""How blocks share out the product of a weight matrix and columns of floats (kernels/include/edgefer/product.cuh)."""

from __future__ import annotations

from dataclasses import dataclass

from edgefer.kernels.plan import Gpu

THREADS = 256
"""Of every block: kBlockThreads."""
COLUMNS_PER_THREAD = 4
PARTIAL_BYTES = THREADS * COLUMNS_PER_THREAD * 4
"""Shared memory for partial sums, whatever the tile."""
LEAST_SHARED_BYTES = 101_376
"""What one block may ask for on the GPUs that give it least (compute capability 8.6, 8.9 and 12.0)."""
MOST_IMAGES = 65_535
"""The largest second and third dimension of a grid."""

_FLOAT = 4
_LARGEST_ROWS = 32
_LARGEST_COLUMNS = 16
_LEAST_ROWS = 4


@dataclass(frozen=True)
class Tile:
    """What one block takes: `rows` of a matrix (a power of two) and `columns`, each `length` long before padding.

    `element_bytes` is the size of one weight; the columns are floats.
    """

    rows: int
    columns: int
    length: int
    element_bytes: int

    @property
    def padded(self) -> int:
        return padded(self.length, self.element_bytes)

    @property
    def quads(self) -> int:
        """Fours of columns, up to a power of two."""
        return power_of_two(ceil_div(self.columns, COLUMNS_PER_THREAD))

    @property
    def row_stride(self) -> int:
        return _odd_stride(self.padded, self.element_bytes)

    @property
    def column_stride(self) -> int:
        return _odd_stride(self.padded, _FLOAT)

    @property
    def weight_bytes(self) -> int:
        """Shared memory of the rows."""
        return self.rows * self.row_stride * self.element_bytes

    @property
    def column_bytes(self) -> int:
        """Shared memory of the columns."""
        return self.columns * self.column_stride * _FLOAT

    @property
    def shared_bytes(self) -> int:
        """Shared memory of all that the product needs."""
        return self.weight_bytes + self.column_bytes + PARTIAL_BYTES

    def blocks(self, rows: int, columns: int) -> tuple[int, int]:
        """How many tiles a product of so many rows and columns has along each."""
        return ceil_div(rows, self.rows), ceil_div(columns, self.columns)


def choose_tile(rows: int, columns: int, length: int, element_bytes: int, copies: int, gpu: Gpu) -> Tile | None:
    """The tile for `copies` products of `rows` rows and `columns` columns; None where not even the smallest fits.

    Large tiles read weights and columns least often. They shrink, the longer side first, until every multiprocessor has
    a block and until they fit into shared memory. The columns are then shared out evenly.
    """
    height, width = _LARGEST_ROWS, min(_LARGEST_COLUMNS, power_of_two(columns))
    while True:
        tile = Tile(height, width, length, element_bytes)
        down, along = tile.blocks(rows, columns)
        fits = tile.shared_bytes <= gpu.shared_bytes
        if fits and down * along * copies >= gpu.multiprocessors:
            break
        if height > _LEAST_ROWS and (height > width or width == 1):
            height //= 2
        elif width > 1:
            width //= 2
        elif fits:
            break
        else:
            return None
    return Tile(height, ceil_div(columns, along), length, element_bytes)


def padded(length: int, element_bytes: int) -> int:
    """`length` elements up to a multiple of 16 bytes."""
    lanes = 16 // element_bytes
    return ceil_div(length, lanes) * lanes


def ceil_div(count: int, size: int) -> int:
    return -(-count // size)


def power_of_two(number: int) -> int:
    """The least power of two that is not less than `number`, which is at least 1."""
    return 1 << (number - 1).bit_length()


def _odd_stride(length: int, element_bytes: int) -> int:
    """Elements from one row to the next, an odd number of 16 bytes: neighbouring rows begin in different banks."""
    return ((length * element_bytes // 16) | 1) * 16 // element_bytes
