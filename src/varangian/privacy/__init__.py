"""Privacy: per-sample gradients -> one noisy gradient, and what it has cost after so many steps."""

from varangian.privacy.accountant import calibrate, spent
from varangian.privacy.clipping import clip_samples, shortened
from varangian.privacy.feasibility import Verdict, feasible
from varangian.privacy.mechanism import Privacy
from varangian.privacy.noise import noise

__all__ = ["Privacy", "Verdict", "calibrate", "clip_samples", "feasible", "noise", "shortened", "spent"]
