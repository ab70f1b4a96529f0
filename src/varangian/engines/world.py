"""Everything of a run that does not change while it trains."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from varangian.attacks import DataAttack
from varangian.core.parameters import FlatParameters
from varangian.core.randomness import Stream
from varangian.data import Dataset, load_dataset
from varangian.models import Loss, build, correct, loss_for
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
    def of(cls, spec: Experiment) -> World:
        """Load the data, deal it, and make the model, all from the experiment's seed."""
        stream = Stream(spec.seed)
        loaded = spec.data if isinstance(spec.data, Dataset) else load_dataset(spec.data, spec.data_dir)
        device, dtype = torch.device(spec.device), DTYPES[spec.dtype]
        data = Dataset(
            loaded.name,
            loaded.train_inputs.to(device, dtype),
            loaded.train_labels.to(device),
            loaded.test_inputs.to(device, dtype),
            loaded.test_labels.to(device),
            loaded.classes,
        )
        shards = spec.split.assign(loaded.train_labels, spec.workers, stream.at("split"))
        module = build(spec.model, data.input_shape, data.classes, stream.at("model"))
        module.to(device, dtype)
        module.train(not spec.evaluation_mode)
        loss = loss_for(spec.model, spec.loss)
        return cls(spec, data, tuple(shards), module, FlatParameters(module), loss, stream)

    def sample(self, worker: int, step: int, local: int) -> tuple[Tensor, Tensor]:
        """Return a batch of a worker's shard, without repeats; the server draws from all of the data.

        A liar that poisons its data does so here.
        """
        count = len(self.data.train_labels) if worker == ROOT else len(self.shards[worker])
        drawn = self.stream.at("batch", worker=worker, step=step, local=local).generator()
        chosen = torch.randperm(count, generator=drawn)[: self.spec.batch_size]
        if worker != ROOT:
            chosen = self.shards[worker][chosen]
        chosen = chosen.to(self.data.train_labels.device)
        inputs, labels = self.data.train_inputs[chosen], self.data.train_labels[chosen]
        if worker >= self.spec.honest and isinstance(self.spec.attack, DataAttack):
            stream = self.stream.at("poison", worker=worker, step=step, local=local)
            return self.spec.attack.poison(inputs, labels, self.data.classes, stream)
        return inputs, labels

    def gradient(self, theta: Tensor, worker: int, step: int, local: int) -> tuple[Tensor, float]:
        """Return a worker's gradient at ``theta`` on one batch, ``(d,)``, and the batch's loss.

        A liar's forward pass leaves no trace in the model's running statistics.
        """
        inputs, labels = self.sample(worker, step, local)
        self.flat.set(theta)
        lies = worker >= self.spec.honest and self.spec.attack is not None
        kept = [buffer.clone() for buffer in self.module.buffers()] if lies else []
        with torch.random.fork_rng(devices=[]):
            noise = self.stream.at("dropout", worker=worker, step=step, local=local)
            torch.default_generator.manual_seed(noise.key())
            loss = self.loss(self.module(inputs), labels)
        gradient = self.flat.gradient(loss)
        for buffer, value in zip(self.module.buffers(), kept, strict=False):
            buffer.copy_(value)
        if self.spec.l1:
            gradient = gradient + self.spec.l1 * theta.sign()
        if self.spec.l2:
            gradient = gradient + 2 * self.spec.l2 * theta
        if self.spec.clip is not None:
            gradient = gradient * (self.spec.clip / gradient.norm().clamp(min=self.spec.clip))
        return gradient, float(loss.detach())

    @torch.no_grad()
    def accuracy(self, theta: Tensor) -> float:
        """Return the share of test samples that the model with these parameters gets right."""
        self.flat.set(theta)
        self.module.eval()
        right = 0
        for start in range(0, len(self.data.test_labels), EVALUATION_BATCH):
            chosen = slice(start, start + EVALUATION_BATCH)
            outputs = self.module(self.data.test_inputs[chosen])
            right += int((correct(outputs, self.data.test_labels[chosen]) & _finite(outputs)).sum())
        self.module.train(not self.spec.evaluation_mode)
        return right / len(self.data.test_labels)


def _finite(outputs: Tensor) -> Tensor:
    """Mark the samples with an output at all: NaN is no answer, whatever argmax says of it."""
    return (~outputs.isnan()).reshape(len(outputs), -1).all(-1)
