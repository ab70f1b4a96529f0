"""An exported program -> a chain of modules, where it is one."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from tempfile import TemporaryDirectory
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from varangian.errors import DataError, ParameterError
from varangian.neurons.archive import read_archive

Arguments = Mapping[str, Any]


def load(path: str | os.PathLike[str]) -> nn.Sequential:
    """Return the model in a file of ``torch.export.save``, as a chain of modules; nothing of it is executed.

    Raises      DataError for a file that is none, or would execute code; ParameterError for a program that is
                no chain of layers with a bound
    """
    return _read(path, str(path))


def _read(path: str | os.PathLike[str], name: str) -> nn.Sequential:
    graph, weights = read_archive(path)
    try:
        return _chain(name, graph["graph_module"], weights)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise DataError(
            f"{name} is not what torch.export writes: {error!r} is missing or misplaced."
        ) from None


def traced(model: nn.Module, inputs: Float[Tensor, "batch *shape"]) -> nn.Sequential:
    """Return any model as a chain of modules, by tracing what it computes; its parameters are copied.

    Raises      ParameterError where it cannot be traced, or is no chain of layers with a bound
    """
    try:
        batch = torch.export.Dim("batch")
        example = inputs if len(inputs) > 1 else inputs.repeat(2, *(1,) * (inputs.ndim - 1))
        program = torch.export.export(copy.deepcopy(model).eval(), (example,), dynamic_shapes=({0: batch},))
    except Exception as error:
        told = str(error).partition("\n")[0]
        raise ParameterError(f"{type(model).__name__} cannot be traced by torch.export: {told}") from None
    with TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.pt2")
        torch.export.save(program, path)
        return _read(path, type(model).__name__)


def _chain(name: str, module: Mapping[str, Any], weights: Mapping[str, Tensor]) -> nn.Sequential:
    """Return the modules of a graph, each of which must read what the one before wrote, and nothing else."""
    held: dict[str, Tensor] = {}
    current = ""
    for told in module["signature"]["input_specs"]:
        (kind, spec), *_ = told.items()
        if kind == "user_input":
            current = spec["arg"]["as_tensor"]["name"]
        else:
            stored = spec.get("parameter_name") or spec.get("buffer_name") or spec.get("tensor_constant_name")
            held[spec["arg"]["name"]] = weights[stored]
    made: list[nn.Module] = []
    for node in module["graph"]["nodes"]:
        target = str(node["target"])
        build = _BUILDERS.get(target.removeprefix("torch.ops.aten.").partition(".")[0])
        if not target.startswith("torch.ops.aten.") or build is None:
            raise ParameterError(
                f"{name} computes {target[:80]!r}, which no bound is known for; known are linear and "
                "convolutional layers, activations, max and average pooling."
            )
        arguments = {one["name"]: _plain(one["arg"], held) for one in node["inputs"]}
        reads = arguments.pop(node["inputs"][0]["name"])
        if reads != current:
            raise ParameterError(
                f"{name} is no chain: {target} reads {reads!r} instead of what comes before it, {current!r}. "
                "Bounds need layers in a row, without branches."
            )
        made.append(build(arguments))
        current = node["outputs"][0]["as_tensor"]["name"]
    (output,) = module["graph"]["outputs"]
    if output["as_tensor"]["name"] != current or not made:
        raise ParameterError(f"{name} returns something else than what its last layer makes.")
    return nn.Sequential(*made).eval()


def _plain(argument: Mapping[str, Any], held: Mapping[str, Tensor]) -> Any:
    """Return an argument: a parameter, a plain value, or the name of a tensor that is computed."""
    ((kind, value),) = argument.items()
    if kind == "as_tensor":
        return held.get(value["name"], value["name"])
    if kind == "as_none":
        return None
    if kind in ("as_int", "as_float", "as_bool", "as_ints", "as_floats", "as_bools", "as_string"):
        return value
    if kind == "as_sym_ints":
        # Of sizes that vary (the batch's), only that they do is known.
        return [one.get("as_int", -1) for one in value]
    raise ParameterError(f"An argument of kind {kind[:40]!r} stands where layers have none.")


def _linear(given: Arguments) -> nn.Module:
    weight, bias = _tensor(given["weight"]), given.get("bias")
    made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, dtype=weight.dtype)
    return _filled(made, weight, bias)


def _convolution(kind: type[nn.Conv1d | nn.Conv2d | nn.Conv3d]) -> Callable[[Arguments], nn.Module]:
    def build(given: Arguments) -> nn.Module:
        weight, bias = _tensor(given["weight"]), given.get("bias")
        groups = given.get("groups", 1)
        padding = given.get("padding", 0)
        options: dict[str, Any] = {
            "stride": _sides(given.get("stride", 1)),
            "padding": padding if isinstance(padding, str) else _sides(padding),
            "dilation": _sides(given.get("dilation", 1)),
            "groups": groups,
            "bias": bias is not None,
            "dtype": weight.dtype,
        }
        made = kind(weight.shape[1] * groups, weight.shape[0], tuple(weight.shape[2:]), **options)  # type: ignore[arg-type]
        return _filled(made, weight, bias)

    return build


def _filled(made: nn.Module, weight: Tensor, bias: Any) -> nn.Module:
    with torch.no_grad():
        made.weight.copy_(weight)  # type: ignore[operator]
        if bias is not None:
            made.bias.copy_(_tensor(bias))  # type: ignore[operator]
    return made


def _pool(kind: type[nn.Module]) -> Callable[[Arguments], nn.Module]:
    def build(given: Arguments) -> nn.Module:
        options = {key: _sides(given[key]) for key in ("stride", "padding", "dilation") if given.get(key)}
        options |= {
            key: given[key] for key in ("ceil_mode", "divisor_override") if given.get(key) is not None
        }
        return kind(_sides(given["kernel_size"]), **options)

    return build


def _reshape(given: Arguments) -> nn.Module:
    shape = given.get("size", given.get("shape"))
    if not isinstance(shape, list) or len(shape) < 2:
        raise ParameterError("A model reshapes values to something without a batch; bounds need one.")
    return nn.Flatten() if len(shape) == 2 else nn.Sequential(nn.Flatten(), nn.Unflatten(1, tuple(shape[1:])))


def _dropout(given: Arguments) -> nn.Module:
    if given.get("train", given.get("training")):
        raise ParameterError(
            "The model was exported in training mode, with dropout; call model.eval() first."
        )
    return nn.Identity()


def _flatten(given: Arguments) -> nn.Module:
    return nn.Flatten(given.get("start_dim", 0), given.get("end_dim", -1))


def _tensor(value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise ParameterError("A layer's weights are computed, not stored; no bound is known for that.")
    return value


def _sides(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


_BUILDERS: dict[str, Callable[[Arguments], nn.Module]] = {
    "linear": _linear,
    "conv1d": _convolution(nn.Conv1d),
    "conv2d": _convolution(nn.Conv2d),
    "conv3d": _convolution(nn.Conv3d),
    "max_pool1d": _pool(nn.MaxPool1d),
    "max_pool2d": _pool(nn.MaxPool2d),
    "max_pool3d": _pool(nn.MaxPool3d),
    "avg_pool1d": _pool(nn.AvgPool1d),
    "avg_pool2d": _pool(nn.AvgPool2d),
    "avg_pool3d": _pool(nn.AvgPool3d),
    "flatten": _flatten,
    "view": _reshape,
    "reshape": _reshape,
    "dropout": _dropout,
    "feature_dropout": _dropout,
    "relu": lambda _: nn.ReLU(),
    "sigmoid": lambda _: nn.Sigmoid(),
    "tanh": lambda _: nn.Tanh(),
    "gelu": lambda given: nn.GELU(given.get("approximate", "none")),
    "silu": lambda _: nn.SiLU(),
    "softplus": lambda _: nn.Softplus(),
    "leaky_relu": lambda given: nn.LeakyReLU(given.get("negative_slope", 0.01)),
    "hardtanh": lambda given: nn.Hardtanh(given.get("min_val", -1.0), given.get("max_val", 1.0)),
    "elu": lambda given: nn.ELU(given.get("alpha", 1.0)),
    "log_softmax": lambda given: nn.LogSoftmax(given["dim"]),
    "softmax": lambda given: nn.Softmax(given["dim"]),
}
