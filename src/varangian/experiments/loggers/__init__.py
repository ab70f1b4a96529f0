"""Loggers: the numbers of runs -> the tools in which people look at them."""

from __future__ import annotations

from varangian.errors import ParameterError, UnknownNameError
from varangian.experiments.loggers.log import Destination, Log, Tracker
from varangian.experiments.loggers.mlflow import MLflow
from varangian.experiments.loggers.tensorboard import TensorBoard

DESTINATIONS: dict[str, type[TensorBoard | MLflow]] = {"tensorboard": TensorBoard, "mlflow": MLflow}


def parse_destination(text: str) -> Destination:
    """Return the destination of ``tensorboard:FOLDER`` or ``mlflow:FOLDER``.

    Raises      UnknownNameError, ParameterError; MissingExtraError

    >>> parse_destination("tensorboard:logs").folder.name
    'logs'
    """
    name, _, folder = text.partition(":")
    if name.lower() not in DESTINATIONS:
        raise UnknownNameError("logger", name, DESTINATIONS)
    if not folder:
        raise ParameterError(f"{text!r} names no folder; write {name}:FOLDER.")
    return DESTINATIONS[name.lower()](folder)


__all__ = ["Destination", "Log", "MLflow", "TensorBoard", "Tracker", "parse_destination"]
