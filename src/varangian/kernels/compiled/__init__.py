"""Compiled kernels: a program -> LLVM's language -> machine code, made once and kept."""
