"""Kernels on graphics processors: a program -> Triton's language and PTX -> launched on rows in place."""
