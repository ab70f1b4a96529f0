"""Accounting: a step's vectors and their aggregate -> how sound it was, who weighed what, whom to ask."""

from varangian.accounting.account import Account, Suspicion
from varangian.accounting.accountant import Accountant
from varangian.accounting.coefficient import coefficient
from varangian.accounting.deviations import Deviations
from varangian.accounting.geometry import Geometry

__all__ = ["Account", "Accountant", "Deviations", "Geometry", "Suspicion", "coefficient"]
