"""Everything of a run that does not change while it trains."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from varangian.attacks import DataAttack
from varangian.core.parameters import FlatParameters
from varangian.core.randomness import Stream
from varangian.data import Dataset, load_dataset
from varangian.errors import ParameterError
from varangian.models import Loss, build, correct, loss_for
from varangian.privacy import clip_samples, noise
from varangian.specification import Experiment
from varangian.specification.experiment import DTYPES

EVALUATION_BATCH = 1000
ROOT = -1
"""The server's own place among the workers, for rules that trust a gradient of its own."""


@dataclass(frozen=True, eq=False)
class World:
    """The data on its device, who holds what, the model, and the root of all random streams."""

    spec: Experiment
    data: Dataset
    shards: tuple[Tensor, ...]
    module: nn.Module
    flat: FlatParameters
    loss: Loss
    stream: Stream

    @classmethod
    def of(cls, spec: Experiment, data: Dataset | None = None) -> World:
        """Load the data unless it is given, deal it, and make the model, all from the experiment's seed."""
        stream = Stream(spec.seed)
        data = load(spec) if data is None else data
        device, dtype = torch.device(spec.device), DTYPES[spec.dtype]
        if spec.flip and len(data.input_shape) != 3:
            raise ParameterError(
                f"Experiment(flip=True): inputs of {data.name} have shape {data.input_shape}; only pictures "
                "(channels, height, width) can be mirrored. Leave flip out."
            )
        shards = spec.split.assign(data.train_labels, spec.workers, stream.at("split"))
        module = build(spec.model, data.input_shape, data.classes, stream.at("model"))
        module.to(device, dtype)
        module.train(not spec.evaluation_mode)
        loss = loss_for(spec.model, spec.loss)
        if spec.privacy is not None and spec.privacy.clip == "sample":
            _refuse_batch_statistics(module)
        return cls(
            spec, data, tuple(shard.cpu() for shard in shards), module, FlatParameters(module), loss, stream
        )

    def chosen(self, worker: int, step: int, local: int) -> Int64[np.ndarray, " samples"]:
        """Return which samples a worker takes: some of its shard, without repeats; the server, of all."""
        stream = self.stream.at("batch", worker=worker, step=step, local=local)
        chosen: Int64[np.ndarray, " samples"] = stream.chosen(self.holds(worker), self.samples(worker))
        return self.table(worker).take(chosen)

    def table(self, worker: int) -> Int64[np.ndarray, " samples"]:
        """Return the samples that a worker draws from."""
        return self._every if worker == ROOT else self.shards[worker].numpy()

    @cached_property
    def _every(self) -> Int64[np.ndarray, " samples"]:
        return np.arange(len(self.data.train_labels))

    def holds(self, worker: int) -> int:
        """Return how many samples a worker draws from."""
        return len(self.data.train_labels) if worker == ROOT else len(self.shards[worker])

    def samples(self, worker: int) -> int:
        """Return how many samples a worker takes at once: a batch, or its whole shard if that is less."""
        return min(self.spec.batch_size, self.holds(worker))

    def sample(self, worker: int, step: int, local: int) -> tuple[Tensor, Tensor]:
        """Return a batch of a worker; a liar that poisons its data does so here."""
        chosen = torch.from_numpy(self.chosen(worker, step, local)).to(self.data.train_labels.device)
        inputs, labels = self.data.train_inputs[chosen], self.data.train_labels[chosen]
        return self.prepared(inputs, labels, worker, step, local)

    def prepared(
        self, inputs: Tensor, labels: Tensor, worker: int, step: int, local: int
    ) -> tuple[Tensor, Tensor]:
        """Return a batch as the worker trains on it: mirrored at random, poisoned by a liar."""
        if self.spec.flip:
            stream = self.stream.at("flip", worker=worker, step=step, local=local)
            mirrored = torch.rand(len(labels), generator=stream.generator()) < 0.5
            inputs = torch.where(mirrored.to(inputs.device)[:, None, None, None], inputs.flip(-1), inputs)
        if self.lies(worker) and isinstance(self.spec.attack, DataAttack):
            stream = self.stream.at("poison", worker=worker, step=step, local=local)
            return self.spec.attack.poison(inputs, labels, self.data.classes, stream)
        return inputs, labels

    def lies(self, worker: int) -> bool:
        """Tell whether a worker is one of the liars."""
        return worker >= self.spec.honest and self.spec.attack is not None

    @property
    def points(self) -> int:
        """Return how many training samples the honest see in a step."""
        return self.spec.local_steps * sum(map(self.samples, range(self.spec.honest)))

    @property
    def computing(self) -> list[int]:
        """Return who computes gradients: who follows the protocol, and last the server if it is trusted."""
        workers = list(range(self.spec.workers if self.spec.follows else self.spec.honest))
        return [*workers, ROOT] if self.spec.trusts else workers

    def gradient(self, theta: Tensor, worker: int, step: int, local: int) -> tuple[Tensor, float]:
        """Return a worker's gradient at ``theta`` on one batch, ``(d,)``, and the batch's loss.

        A liar's forward pass leaves no trace in the model's running statistics.
        """
        inputs, labels = self.sample(worker, step, local)
        self.flat.set(theta)
        kept = [buffer.clone() for buffer in self.module.buffers()] if self.lies(worker) else []
        chance = self.stream.at("dropout", worker=worker, step=step, local=local)
        with chance.instead_of_global(theta.device):
            gradient, loss = self._differentiated(inputs, labels)
        for buffer, value in zip(self.module.buffers(), kept, strict=False):
            buffer.copy_(value)
        if self.spec.privacy is not None:
            gradient = gradient + self.noise(worker, step, local, len(labels)).to(gradient)
        penalty = self.penalty(theta)
        return clipped(gradient if penalty is None else gradient + penalty, self.spec.clip), loss

    def _differentiated(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, float]:
        """Return the gradient of a batch's loss, clipped sample by sample or whole for privacy's sake."""
        privacy = self.spec.privacy
        if privacy is not None and privacy.clip == "sample":
            pairs = [self._plain(inputs[i : i + 1], labels[i : i + 1]) for i in range(len(labels))]
            rows = torch.stack([gradient for gradient, _ in pairs])
            return clip_samples(rows, privacy.norm), sum(loss for _, loss in pairs) / len(pairs)
        gradient, loss = self._plain(inputs, labels)
        return (gradient if privacy is None else clipped(gradient, privacy.norm)), loss

    def _plain(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, float]:
        loss = self.loss(self.module(inputs), labels)
        return self.flat.gradient(loss), float(loss.detach())

    def noise(self, worker: int, step: int, local: int, samples: int) -> Tensor:
        """Return the noise that hides a worker's samples, ``(d,)``."""
        assert self.spec.privacy is not None
        stream = self.stream.at("noise", worker=worker, step=step, local=local)
        return noise(self.spec.privacy, samples, self.flat.d, stream, DTYPES[self.spec.dtype])

    def penalty(self, theta: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d"] | None:
        """Return the gradient of l1 |theta|_1 + l2 |theta|^2 + l2_norm |theta|; None if there is none."""
        spec = self.spec
        length = theta.norm(dim=-1, keepdim=True) if spec.l2_norm else None
        terms = [
            spec.l1 * theta.sign() if spec.l1 else None,
            2 * spec.l2 * theta if spec.l2 else None,
            None if length is None else spec.l2_norm * theta / torch.where(length > 0, length, 1.0),
        ]
        present = [term for term in terms if term is not None]
        return torch.stack(present).sum(0) if present else None

    def accuracy(self, theta: Tensor) -> float:
        """Return the share of test samples that the model with these parameters gets right."""
        self.flat.set(theta)
        self.module.eval()
        with self.stream.at("evaluation").instead_of_global(theta.device):  # a module may draw even then
            share = self.share_right(self.module)
        self.module.train(not self.spec.evaluation_mode)
        return share

    def share_right(
        self,
        outputs_of: Callable[[Tensor], Tensor],
        share_out: Callable[..., Iterable[int]] = map,
        some: int = EVALUATION_BATCH,
    ) -> float:
        """Return the share of test samples that a function of inputs gets right, some at a time."""

        @torch.no_grad()
        def right(start: int) -> int:
            chosen = slice(start, start + some)
            outputs = outputs_of(self.data.test_inputs[chosen])
            return int((correct(outputs, self.data.test_labels[chosen]) & _finite(outputs)).sum())

        count = len(self.data.test_labels)
        return sum(share_out(right, range(0, count, some))) / count


def load(spec: Experiment) -> Dataset:
    """Return the data of an experiment, on its device and in its dtype."""
    loaded = spec.data if isinstance(spec.data, Dataset) else load_dataset(spec.data, spec.data_dir)
    device, dtype = torch.device(spec.device), DTYPES[spec.dtype]
    return Dataset(
        loaded.name,
        loaded.train_inputs.to(device, dtype),
        loaded.train_labels.to(device),
        loaded.test_inputs.to(device, dtype),
        loaded.test_labels.to(device),
        loaded.classes,
    )


def clipped(
    gradient: Float[Tensor, "*batch d"], bound: Float[Tensor, "*batch"] | float | None
) -> Float[Tensor, "*batch d"]:
    """Return the gradients, scaled down to norm ``bound`` where they are longer."""
    factors = None if bound is None else clipping(gradient, bound)
    return gradient if factors is None else gradient * factors[..., None]


def clipping(
    gradient: Float[Tensor, "*batch d"], bound: Float[Tensor, "*#batch"] | float
) -> Float[Tensor, "*batch"] | None:
    """Return what scales the gradients down to norm ``bound`` where they are longer; None if none is."""
    return shortening(gradient.norm(dim=-1), bound)


def shortening(
    norm: Float[Tensor, "*batch"], bound: Float[Tensor, "*#batch"] | float
) -> Float[Tensor, "*batch"] | None:
    """Return what scales gradients of these norms down to ``bound``; None if none is longer."""
    limit = torch.as_tensor(bound, dtype=norm.dtype, device=norm.device)
    over = norm > limit
    return torch.where(over, limit / norm, 1.0) if bool(over.any()) else None


def _refuse_batch_statistics(module: nn.Module) -> None:
    for name, part in module.named_modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm) and part.training:
            raise ParameterError(
                f"privacy clips every sample's gradient, but layer {name!r} ({type(part).__name__}) mixes "
                "the samples of a batch. Train with evaluation_mode=True, or replace the layer by GroupNorm."
            )


def _finite(outputs: Tensor) -> Tensor:
    """Mark the samples with an output at all: NaN is no answer, whatever argmax says of it."""
    return (~outputs.isnan()).reshape(len(outputs), -1).all(-1)
