"""Looks at every gradient when autograd has just written it, while the cache still holds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import Variable
from torch.nn.parallel import DistributedDataParallel

from varangian.engines.torchdist.sketch import BLOCK, Sketch
from varangian.kernels.glances import glancer, readable


class Leaves:
    """Sketches the gradients of a DDP model, and calls ``ended`` once in each pass that DDP averages.

    That is at the end of the backward pass, when this rank has seen all its gradients and DDP has begun to
    send the last of them, and before DDP puts the mean in their place. All ranks come by there in the same
    order. Under ``Join`` they do not, since some are out of data: then nothing is called.
    """

    def __init__(self, model: DistributedDataParallel, sketch: Sketch, ended: Callable[[], None]) -> None:
        self.sketch, self.ended = sketch, ended
        parameters = _learning(model)
        counts = [p.numel() // BLOCK + 1 for p in parameters]
        self._layout = tuple(enumerate(counts))
        self._norms, self._sums = torch.zeros(2, sum(counts))
        self._waiting: set[int] = set()
        rooms = zip(self._norms.split(counts), self._sums.split(counts), strict=True)
        for place, (p, room) in enumerate(zip(parameters, rooms, strict=True)):
            p.register_post_accumulate_grad_hook(self._hook(place, glancer(p.detach(), sketch.signs, *room)))
        model.register_forward_hook(self._begin)

    @staticmethod
    def suit(model: DistributedDataParallel) -> bool:
        """Tell whether every backward pass of a model makes each gradient once, on the processor."""
        special = (
            model.find_unused_parameters
            or model.static_graph
            or model.parameters_to_ignore
            or model.mixed_precision is not None
            or getattr(model, "_delay_all_reduce_params", None)
            or any(
                isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.sparse
                for module in model.modules()
            )
        )
        return not special and all(readable(p.detach()) for p in _learning(model))

    def taken(self) -> Float[Tensor, "20"]:
        """Return the sketch of the last pass."""
        return self.sketch.of(self._layout, self._norms, self._sums)

    def _begin(self, model: Any, given: object, made: object) -> None:
        """Expect a pass, where DDP does."""
        joined = model._join_config.enable
        if torch.is_grad_enabled() and model.require_backward_grad_sync and not joined:
            self._waiting = set(range(len(self._layout)))

    def _hook(self, place: int, look: Callable[[Tensor], None]) -> Callable[[Tensor], None]:
        def seen(parameter: Tensor) -> None:
            if place in self._waiting:
                assert parameter.grad is not None
                look(parameter.grad)
                self._waiting.remove(place)
                if not self._waiting:
                    Variable._execution_engine.queue_callback(self.ended)

        return seen


def _learning(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]
