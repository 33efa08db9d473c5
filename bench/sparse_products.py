"""Sparse products for `products.py`: uniform random entries, in compressed rows, beside SciPy."""

from dataclasses import dataclass
from functools import cached_property

# region, steps, items, rows, columns, entries
SPARSE = [
    (region, steps, items, *size)
    for size in [
        *[(1000, 1000, 10000), (1000, 1000, 50000), (1000, 1000, 200000)],
        *[(3000, 3000, 2000000), (10000, 10000, 1000000)],
    ]
    for region, steps, items in [
        *[("loop", 20, 1), ("loop", 5, 8), ("loop", 5, 32), ("sequence", 20, 1)]
    ]
]


@dataclass(frozen=True)
class SparseProduct:
    """Y += A.X step by step (``loop``) or for all steps at once (``sequence``)."""

    region: str
    steps: int
    items: int
    rows: int
    columns: int
    entries: int

    @property
    def name(self):
        size = f"{self.rows}x{self.columns}/{self.entries}"
        return f"{self.region} {self.steps}x{self.items}x{size}"

    @property
    def flops(self):
        return 2 * self.steps * self.items * self.entries

    @property
    def most(self):
        """Ops in a program: each has indices of its own, and all are to stay in the cache."""
        return min(32, 4_000_000 // self.entries)

    @property
    def sizes(self):
        return self.entries, self.columns, self.rows

    @cached_property
    def places(self):
        """Row pointers and columns."""
        import scipy.sparse

        share = self.entries / self.rows / self.columns
        matrix = scipy.sparse.random(self.rows, self.columns, share, "csr", random_state=0)
        return matrix.indptr, matrix.indices

    def op(self):
        from nengo_dl.ir.program import Op, Operand

        flat = [Operand(i, 0, (size,), (1,), (0,)) for i, size in enumerate(self.sizes)]
        indptr, indices = self.places
        attrs = {"set": 0, "indices": indices, "indptr": indptr}
        return Op("sparse", "product", 1, dict(zip("AXY", flat, strict=True)), attrs)

    def libraries(self, a, x, dy):
        import numpy as np
        import scipy.sparse

        indptr, indices = self.places
        matrix = scipy.sparse.csr_matrix((a, indices, indptr), shape=(self.rows, self.columns))
        row_of = np.repeat(np.arange(self.rows), np.diff(indptr))

        def product(matrix, vectors):
            """With what it is multiplied laid out as SciPy likes it, at no cost."""
            parts = self.steps if self.region == "loop" else 1
            parts = np.split(vectors, parts, axis=1)
            turned = [np.ascontiguousarray(p.reshape(-1, p.shape[-1]).T) for p in parts]
            turned = [t.ravel() if t.shape[1] == 1 else t for t in turned]

            def run():
                found = [(matrix @ t).reshape(matrix.shape[0], self.items, -1) for t in turned]
                return np.concatenate(found, axis=2).transpose(1, 2, 0)

            return run

        def outer():
            found = np.zeros_like(a)
            rows = zip(dy.reshape(-1, self.rows), x.reshape(-1, self.columns), strict=True)
            for here, there in rows:
                found += here[row_of] * there[indices]
            return found

        return {
            "forward": {"SciPy": product(matrix, x)},
            "dX": {"SciPy": product(matrix.T, dy)},
            "dA": {"NumPy": outer},
        }
