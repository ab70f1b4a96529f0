"""Models that are sharded over ranks: FSDP2, with a rank as a worker, or a whole group of ranks."""

from __future__ import annotations

from typing import Any

import torch.distributed as dist
from torch import Tensor, nn

from varangian.core.randomness import Stream
from varangian.core.stages import Stage
from varangian.engines.torchdist.collective import Group, Ranks, all_together, by_coordinate, heard
from varangian.errors import ParameterError


def register_fsdp(model: nn.Module, rule: Stage) -> Ranks:
    """Have a model under FSDP2 (``fully_shard``) aggregate its gradients by a rule, where it reduces them.

    Every rank of the mesh is a worker. The rule looks at one coordinate at a time; for others there is
    ``aggregate_gradients``, with a worker that is a group of ranks.

    Cost        each rank sends (n - 1) / n of the gradient's bytes, as a reduce-scatter should
    Raises      ParameterError for another model or rule, ToleranceError for too few ranks
    """
    from torch.distributed.fsdp import FSDPModule

    modules = [module for module in model.modules() if isinstance(module, FSDPModule)]
    if not modules:
        raise ParameterError("register_fsdp takes a model after fully_shard(model); here nothing is sharded.")
    if not by_coordinate(rule):
        raise ParameterError(
            f"{rule!r} judges whole gradients, and FSDP hands them over in parts. Take a rule by coordinate "
            "(median, trimmed mean, ...), or let a worker be a group of ranks: see aggregate_gradients."
        )
    ranks = Ranks(rule, _group_of(model))
    scatter = _reduce_scatter(ranks)
    for module in modules:
        module.set_custom_reduce_scatter(scatter)
    return ranks


def aggregate_gradients(
    model: nn.Module,
    rule: Stage,
    workers: Group = None,
    holders: Group = None,
    *,
    stream: Stream | None = None,
) -> None:
    """Replace the gradients of a model, after the backward pass, by the aggregate over workers.

    A worker is one rank, or, where the model is sharded, a group of ranks: ``workers`` then joins the ranks
    that hold the same shard, and ``holders`` all ranks of the mesh (all there are, if not said). Any rule: it
    judges the whole gradient of a worker.

    Cost        each rank sends 2 (n - 1) / n of the bytes of its gradients
    Raises      ParameterError where there is no gradient; ToleranceError for too few workers
    """
    gradients = [_local(p.grad) for p in model.parameters() if p.grad is not None]
    if not gradients:
        raise ParameterError("The model has no gradients; call aggregate_gradients after backward().")
    world = dist.group.WORLD if holders is None else holders
    all_together(Ranks(rule, workers, world), gradients, stream)


def _local(tensor: Any) -> Tensor:
    """Return the part of a tensor that this rank holds."""
    part: Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return part


def _group_of(model: nn.Module) -> Group:
    """Return the process group over which a model is sharded. Raises ParameterError."""
    meshes = {p.device_mesh for p in model.parameters() if hasattr(p, "device_mesh")}
    if len(meshes) != 1 or next(iter(meshes)).ndim != 1:
        raise ParameterError(
            f"register_fsdp needs one mesh of one axis; the parameters lie on {sorted(map(str, meshes))}."
        )
    return next(iter(meshes)).get_group()


def _reduce_scatter(ranks: Ranks) -> Any:
    # PyTorch offers the base classes under private names only.
    from torch.distributed.fsdp._fully_shard._fsdp_api import ReduceScatter
    from torch.distributed.fsdp._fully_shard._fsdp_collectives import DefaultAllocMixin

    class RobustReduceScatter(DefaultAllocMixin, ReduceScatter):
        """Each rank gets everybody's values for its shard, and aggregates them."""

        def __call__(
            self, output_tensor: Tensor, input_tensor: Tensor, group: Any, op: Any, async_op: bool = False
        ) -> None:
            factor = _factor(op, ranks.n)
            with heard(ranks.group):
                shards, work = ranks.scatter(input_tensor)
                work.wait()
            (value,) = ranks.aggregate([shards], Stream()).value
            output_tensor.copy_(value.view_as(output_tensor) * factor if factor != 1 else value)

    return RobustReduceScatter()


def _factor(op: Any, n: int) -> int:
    """Return what a mean has to be multiplied with to be what FSDP expects. Raises ParameterError."""
    if op == dist.ReduceOp.AVG:
        return 1
    if op == dist.ReduceOp.SUM:
        return n
    raise ParameterError(
        f"FSDP reduces with {op}, a sum with a factor of its own. Leave set_gradient_divide_factor out: a "
        "robust rule stands for the mean."
    )
