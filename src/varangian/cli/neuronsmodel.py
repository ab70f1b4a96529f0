"""The model that ``varangian neurons`` is asked about: a file that is only read, your function, or a name."""

from __future__ import annotations

import importlib
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from varangian.aggregators import Average
from varangian.core.parameters import FlatParameters
from varangian.core.randomness import Stream
from varangian.data import Dataset
from varangian.errors import DataError, ParameterError, UnknownNameError, VarangianError
from varangian.experiments import run
from varangian.models import MODELS, build
from varangian.neurons import load, traced
from varangian.specification import Experiment

EXPORTED = ".pt2"
UNSAFE = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".joblib", ".model")


def model_of(word: str, data: Dataset, weights: Path | None, steps: int, seed: int) -> nn.Sequential:
    """Return the model that a word stands for, as a chain of layers in evaluation mode.

    A word is a file of ``torch.export.save``, ``module:factory``, or a name of the catalogue, of which the
    model is trained here if there are no ``weights`` for it.

    Raises      DataError for a file that would execute code; ParameterError; UnknownNameError
    """
    path = Path(word)
    if path.suffix.lower() == EXPORTED:
        if weights is not None:
            raise ParameterError(f"--weights: {word} has weights of its own. Leave it out.")
        return load(path)
    if path.suffix.lower() in UNSAFE or path.is_file():
        raise DataError(
            f"{word} is refused: reading such a file can execute code. Save the model with "
            "torch.export.save as .pt2, or give module:factory and its state dict with --weights."
        )
    names = [model.name for model in MODELS]
    if ":" not in word and word.lower() not in names:
        raise UnknownNameError("model, and no .pt2 file or module:factory,", word, names)
    made = (
        _made(word, data)
        if ":" in word
        else build(word.lower(), data.input_shape, data.classes, Stream(seed))
    )
    if weights is not None:
        _fill(made, weights)
    elif ":" not in word:
        result = run(
            Experiment(
                data=data.name,
                model=word.lower(),
                workers=1,
                rule=Average(),
                steps=steps,
                batch_size=128,
                learning_rate=0.1,
                momentum=0.9,
                seed=seed,
            )
        )
        FlatParameters(made).set(result.parameters)
    made = made.eval()
    return made if isinstance(made, nn.Sequential) else traced(made, data.test_inputs[:2])


def _made(word: str, data: Dataset) -> nn.Module:
    """Return what a function of the user's makes; it is the user's own code, and named by the user."""
    name, _, attribute = word.partition(":")
    with _from_here():
        try:
            found = getattr(importlib.import_module(name), attribute)
        except ImportError as error:
            raise ParameterError(f"{word}: the module {name!r} cannot be imported: {error}.") from None
        except AttributeError:
            raise ParameterError(f"{word}: the module {name!r} has no {attribute!r}.") from None
        if not isinstance(found, nn.Module) and not callable(found):
            raise ParameterError(
                f"{word} is a {type(found).__name__}; name a torch.nn.Module or a function "
                "(input_shape, classes) -> torch.nn.Module."
            )
        try:
            return build(found, data.input_shape, data.classes, Stream())
        except VarangianError:
            raise
        except Exception as error:
            told = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise ParameterError(
                f"{word}: called with (shape, classes) = ({data.input_shape}, {data.classes}), raised {told}."
            ) from None


@contextmanager
def _from_here() -> Iterator[None]:
    """Let modules of the working folder be found, as ``python -m`` does."""
    sys.path.insert(0, "")
    try:
        yield
    finally:
        sys.path.remove("")


def _fill(model: nn.Module, path: Path) -> None:
    """Load a state dict, as plain tensors and nothing else."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise DataError(
            f"{path} is refused: it holds more than tensors, and reading it would execute code. "
            "Save model.state_dict() with torch.save."
        ) from None
    except Exception as error:  # a damaged file raises errors of many kinds
        told = str(error).partition("\n")[0] or type(error).__name__
        raise DataError(f"{path} cannot be read as a state dict: {told}") from None
    if not isinstance(state, dict):
        raise DataError(f"{path} holds a {type(state).__name__}; --weights needs a state dict.")
    try:
        model.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError) as error:
        told = " ".join(str(error).split())[:300]
        raise DataError(f"{path} does not fit the model: {told}") from None
