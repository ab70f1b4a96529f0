"""A second, straightforward implementation of training, in NumPy: what the engine must agree with.

The model is multinomial logistic regression; its gradient is written out. Only the sampled batches are the
engine's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import varangian as vg
from varangian.engines.world import ROOT, World

Array = NDArray[np.float64]
Rule = Callable[[Array, int], Array]
Forger = Callable[[Array, int], Array]


def images(samples: int = 240, classes: int = 4, features: int = 5, seed: int = 0) -> vg.Dataset:
    """Return a small data set of noisy classes, two thirds of it to train on."""
    rng = np.random.default_rng(seed)
    labels = np.arange(samples) % classes
    inputs = rng.standard_normal((classes, features))[labels] * 2 + rng.standard_normal((samples, features))
    x, y = torch.from_numpy(inputs).float(), torch.from_numpy(labels)
    cut = samples * 2 // 3
    return vg.Dataset("noisy", x[:cut], y[:cut], x[cut:], y[cut:], classes)


DATA = images()


def small(**fields: Any) -> vg.Experiment:
    """Return a short experiment on the small data set, with two liars among seven."""
    given: dict[str, Any] = {
        "data": DATA,
        "model": "logistic",
        "workers": 7,
        "byzantine": 2,
        "batch_size": 6,
        "steps": 5,
        "learning_rate": 0.1,
        "momentum": 0.9,
        "evaluate_every": 100,
        "dtype": "float64",
    }
    return vg.Experiment(**{**given, **fields})


def average(x: Array, step: int) -> Array:
    return np.asarray(x.mean(0))


def trimmed(f: int) -> Rule:
    return lambda x, step: np.sort(x, axis=0)[f : len(x) - f].mean(0)


def flipped(sent: Array, b: int) -> Array:
    return np.stack([-sent.mean(0)] * b)


def little(z: float) -> Forger:
    return lambda sent, b: np.stack([sent.mean(0) - z * sent.std(0, ddof=1)] * b)


@dataclass
class Trace:
    """What a run by hand did: the parameters, and per step what the honest sent."""

    theta: Array
    sent: list[Array] = field(default_factory=list)


def gradient(world: World, theta: Array, worker: int, step: int, local: int) -> Array:
    """Return one worker's gradient of the mean cross-entropy, penalties added, then clipped."""
    spec = world.spec
    inputs, labels = world.sample(worker, step, local)
    x = inputs.reshape(len(inputs), -1).double().numpy()
    classes = world.data.classes
    features = x.shape[1]
    w, bias = theta[: classes * features].reshape(classes, features), theta[classes * features :]
    logits = x @ w.T + bias
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    p[np.arange(len(x)), labels.numpy()] -= 1
    g = np.concatenate([(p.T @ x / len(x)).ravel(), p.mean(0)])
    g = g + spec.l1 * np.sign(theta) + 2 * spec.l2 * theta
    if spec.clip is not None and np.linalg.norm(g) > spec.clip:
        g = g * spec.clip / np.linalg.norm(g)
    return np.asarray(g)


def run_by_hand(
    spec: vg.Experiment,
    rule: Rule | None = None,
    forge: Forger | None = None,
    trusting: Callable[[Array, Array, int], Array] | None = None,
) -> Trace:
    """Train; ``forge`` makes b vectors from what the honest send, ``trusting`` also gets the server's own."""
    world = World.of(spec)
    theta = world.flat.get().double().numpy()
    mu, damping = spec.momentum, 1 - spec.dampening
    follows = forge is None
    computing = list(range(spec.workers if follows else spec.honest)) + ([ROOT] if trusting else [])
    memories = {worker: np.zeros_like(theta) for worker in computing}
    server = np.zeros_like(theta)
    trace = Trace(theta)
    for step in range(spec.steps):
        rate = spec.learning_rate if isinstance(spec.learning_rate, float) else spec.learning_rate.rate(step)
        sent: dict[int, Array] = {}
        for worker in computing:
            memory = memories[worker] if spec.momentum_at == "worker" else server
            here = theta - rate * mu * memory if spec.nesterov else theta
            total = np.zeros_like(theta)
            for local in range(spec.local_steps):
                total = total + gradient(world, here - rate * total, worker, step, local)
            if spec.momentum_at == "worker":
                memories[worker] = mu * memories[worker] + damping * total
                sent[worker] = memories[worker]
            else:
                sent[worker] = total
        own = sent.pop(ROOT, np.zeros_like(theta))
        vectors = np.stack(list(sent.values()))
        trace.sent.append(vectors[: spec.honest])
        if forge is not None:
            vectors = np.concatenate([vectors, forge(vectors, spec.byzantine)])
        if spec.momentum_at == "server":
            vectors, own = damping * vectors + mu * server, damping * own + mu * server
        if trusting is not None:
            out = trusting(vectors, own, step)
        else:
            assert rule is not None
            out = rule(vectors, step)
        if spec.momentum_at == "update":
            out = mu * server + damping * out
        server = out
        theta = theta - rate * (out + spec.weight_decay * theta)
    trace.theta = theta
    return trace
