"""What can be known to fail before hours of training, and not after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from varangian.data import Dataset
from varangian.engines.world import World, load
from varangian.errors import ParameterError, VarangianError
from varangian.experiments.store.tables import require_pyarrow
from varangian.specification import Experiment


def rehearse(experiments: Sequence[Experiment]) -> None:
    """Load every data set, deal it as every split does and make every model for it; nothing is trained.

    Raises      DataError for missing data; ParameterError where data, model and split do not fit, naming
                them; MissingExtraError
    """
    require_pyarrow()
    loaded: dict[Any, Dataset] = {}
    seen: set[Any] = set()
    for spec in experiments:
        place = (spec.data, spec.data_dir, spec.dtype, spec.device)
        key = (*place, spec.model, spec.loss, spec.split, spec.workers, spec.flip, spec.privacy)
        if key in seen:
            continue
        seen.add(key)
        if place not in loaded:
            loaded[place] = load(spec)
        try:
            World.of(spec, loaded[place])
        except VarangianError as error:
            raise ParameterError(
                f"data={spec.data!r}, model={spec.model!r}, split={spec.split!r}, "
                f"workers={spec.workers}: {error}"
            ) from None
