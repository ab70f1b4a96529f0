"""Varangian: training models with people you do not trust."""

from varangian.aggregators import *  # noqa: F403
from varangian.core.chain import chain
from varangian.mixers import *  # noqa: F403
