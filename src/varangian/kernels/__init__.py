"""Kernels: rows of vectors -> distances, columns, combinations; they know no rule by name."""
