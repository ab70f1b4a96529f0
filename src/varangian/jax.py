"""For programs that JAX compiles: ``varangian.jax.jitted(rule)``."""

from varangian.engines.host import jitted

__all__ = ["jitted"]
