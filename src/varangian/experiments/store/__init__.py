"""Store: results -> plain files that are written once, whole, and found again by their specification."""

from varangian.experiments.store.entry import Entry
from varangian.experiments.store.folder import Scan, Store

__all__ = ["Entry", "Scan", "Store"]
