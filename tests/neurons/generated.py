"""Small networks as hypothesis makes them: of all kinds with bounds, extreme weights included."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from varangian.neurons import Steep

BOUNDED = (nn.Sigmoid, nn.Tanh, nn.Hardtanh, nn.Softsign, nn.ReLU6)
UNBOUNDED = (nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Softplus, nn.Identity)
WEIGHTS = ("normal", "constant", "signs", "sparse")


def fill(model: nn.Module, how: str, scale: float, generator: torch.Generator) -> None:
    """Give a model random weights of a kind; constant ones make errors add up as bounds assume."""
    for values in model.parameters():
        random = torch.randn(values.shape, generator=generator, dtype=torch.float64)
        made = {
            "normal": random,
            "constant": torch.ones_like(random),
            "signs": random.sign(),
            "sparse": random * (torch.rand(values.shape, generator=generator) < 0.4),
        }[how]
        values.data = scale * made


@st.composite
def networks(draw: Any, most: int = 6, deepest: int = 3, dense: bool = False) -> tuple[nn.Sequential, Tensor]:
    """Draw a network in float64 and a few inputs for it."""
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    kind = draw(st.sampled_from([*BOUNDED, *UNBOUNDED]))
    slope = None if kind is nn.Identity else draw(st.sampled_from([None, 0.5, 2.0, 4.0]))

    def activation() -> nn.Module:
        return kind() if slope is None else Steep(kind(), slope)

    modules: list[nn.Module] = []
    batch = draw(st.integers(1, 3))
    if not dense and draw(st.booleans()):
        channels, kernel = draw(st.integers(1, 2)), draw(st.integers(1, 3))
        padding, stride = draw(st.integers(0, 1)), draw(st.integers(1, 2))
        modules += [nn.Conv2d(1, channels, kernel, stride, padding), activation()]
        modules += draw(
            st.sampled_from([[], [nn.MaxPool2d(2)], [nn.AvgPool2d(2)], [nn.MaxPool2d(2, stride=1)]])
        )
        modules.append(nn.Flatten())
        inputs = torch.randn(batch, 1, 7, 7, generator=generator, dtype=torch.float64)
        size = nn.Sequential(*modules).double()(inputs).shape[1]
    else:
        size = draw(st.integers(1, 4))
        inputs = torch.randn(batch, size, generator=generator, dtype=torch.float64)
    for _ in range(draw(st.integers(1 if not modules else 0, deepest))):
        width = draw(st.integers(1, most))
        modules += [nn.Linear(size, width, bias=draw(st.booleans())), activation()]
        size = width
    modules.append(nn.Linear(size, draw(st.integers(1, 3))))
    if draw(st.booleans()):
        modules.append(draw(st.sampled_from([nn.LogSoftmax(-1), nn.Softmax(-1), nn.Sigmoid()])))
    model = nn.Sequential(*modules).double().eval()
    fill(model, draw(st.sampled_from(WEIGHTS)), draw(st.sampled_from([0.1, 1.0, 3.0])), generator)
    return model, inputs
