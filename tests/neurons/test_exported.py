"""Files of models are read, and never carried out."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from varangian.errors import DataError, ParameterError
from varangian.neurons import load, traced


class Functional(nn.Module):
    """A model without a module for its activations."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 4, 3, stride=2, bias=False)
        self.third, self.last = nn.Linear(16, 7), nn.Linear(7, 3)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(functional.leaky_relu(self.second(torch.relu(self.first(x))), 0.2), 2)
        x = functional.hardtanh(functional.avg_pool2d(x, 1)).flatten(1)
        return functional.log_softmax(self.last(self.dropout(functional.gelu(self.third(x)))), dim=1)


class Branched(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x) + x


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file as torch.export writes it, with a batch of any size."""
    torch.manual_seed(1)
    path = tmp_path_factory.mktemp("exported") / "model.pt2"
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 2)).eval()
    shapes = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(model, (torch.ones(2, 1, 2, 2),), dynamic_shapes=shapes), path)
    return path


def test_any_chain_is_traced() -> None:
    torch.manual_seed(2)
    model, inputs = Functional(), torch.randn(4, 1, 9, 9)
    chain = traced(model, inputs)
    assert model.training, "Tracing changes nothing of the model."
    torch.testing.assert_close(chain(inputs), model.eval()(inputs))
    torch.testing.assert_close(chain(inputs[:1]), model(inputs[:1]))
    with pytest.raises(ParameterError, match=r"aten\.add"):
        traced(Branched(), inputs)


def test_a_file_is_the_model_that_was_saved(exported: Path) -> None:
    torch.manual_seed(1)
    chain = load(exported)
    expected = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 2))
    inputs = torch.randn(3, 1, 2, 2)
    torch.testing.assert_close(chain(inputs), torch.export.load(exported).module()(inputs))
    assert [type(module) for module in chain] == [type(module) for module in expected]


def forged(source: Path, target: Path, change: Callable[[str, bytes], bytes | None]) -> Path:
    """Copy an archive, each member changed, or left out where None comes back."""
    with zipfile.ZipFile(source) as held, zipfile.ZipFile(target, "w") as made:
        for name in held.namelist():
            content = change(name, held.read(name))
            if content is not None:
                made.writestr(name, content)
    return target


class Evil:
    """What executes when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit('It was executed.')",))


def evil_pickle() -> bytes:
    page = io.BytesIO()
    torch.save(Evil(), page)
    return page.getvalue()


def edited(change: Callable[[dict[str, Any]], None], ends: str) -> Callable[[str, bytes], bytes]:
    def edit(name: str, content: bytes) -> bytes:
        if not name.endswith(ends):
            return content
        told = json.loads(content)
        change(told)
        return json.dumps(told).encode()

    return edit


def first_weight(told: dict[str, Any]) -> dict[str, Any]:
    return told["config"]["1.weight"]  # type: ignore[no-any-return]


WEIGHTS, MODEL = "weights_config.json", "models/model.json"
FORGERIES: dict[str, tuple[Callable[[str, bytes], bytes | None], str]] = {
    "a pickled weight": (
        edited(lambda told: first_weight(told).update(use_pickle=True), WEIGHTS),
        "would execute code",
    ),
    "pickled weights as of old": (
        lambda name, content: None if name.endswith(WEIGHTS) else content,
        "would execute code",
    ),
    "a weight cut short": (
        lambda name, content: content[:-4] if name.endswith("weight_0") else content,
        "cut short",
    ),
    "a weight larger than its file": (
        edited(lambda told: first_weight(told)["tensor_meta"]["sizes"][0].update(as_int=10**12), WEIGHTS),
        "cut short",
    ),
    "strides that leave the file": (
        edited(lambda told: first_weight(told)["tensor_meta"]["strides"][0].update(as_int=10**9), WEIGHTS),
        "cut short",
    ),
    "a weight from elsewhere": (
        edited(lambda told: first_weight(told).update(path_name="../../../etc/passwd"), WEIGHTS),
        "no plain tensor",
    ),
    "another operation": (
        edited(lambda told: told["graph_module"]["graph"]["nodes"][0].update(target="os.system"), MODEL),
        "computes 'os.system'",
    ),
    "an operation that has no bound": (
        edited(
            lambda told: told["graph_module"]["graph"]["nodes"][2].update(
                target="torch.ops.aten.exp.default"
            ),
            MODEL,
        ),
        "no bound is known",
    ),
    "no graph": (edited(lambda told: told.pop("graph_module"), MODEL), "not what torch.export writes"),
    "no JSON": (lambda name, content: b"{" if name.endswith(MODEL) else content, "no JSON"),
    "a list": (lambda name, content: b"[]" if name.endswith(MODEL) else content, "not what torch.export"),
    "no program": (lambda name, content: None if name.endswith(MODEL) else content, "0 exported programs"),
}


@pytest.mark.parametrize("what", FORGERIES)
def test_forged_files_are_refused(what: str, exported: Path, tmp_path: Path) -> None:
    change, told = FORGERIES[what]
    with pytest.raises((DataError, ParameterError), match=told):
        load(forged(exported, tmp_path / "forged.pt2", change))


def test_what_would_be_executed_is_not(exported: Path, tmp_path: Path) -> None:
    """Sample inputs are a pickle, and a symbolic size is a program: PyTorch's reader carries both out."""
    symbol = "__import__('os').abort()"

    def change(name: str, content: bytes) -> bytes:
        if name.endswith("sample_inputs/model.pt"):
            return evil_pickle()
        return (
            content.replace(b"Symbol('s", symbol.encode() + b"+Symbol('s")
            if name.endswith(MODEL)
            else content
        )

    path = forged(exported, tmp_path / "evil.pt2", change)
    with zipfile.ZipFile(path) as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
    assert symbol.encode() in content
    inputs = torch.ones(1, 1, 2, 2)
    torch.testing.assert_close(load(path)(inputs), load(exported)(inputs))


def test_files_that_are_no_archives(tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    with pytest.raises(DataError, match="No such file"):
        load(path)
    for content in (b"", b"not a zip file", pickle.dumps([1])):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"cannot be read as a \.pt2 file"):
            load(path)
    torch.save(nn.Linear(1, 1).state_dict(), path)
    with pytest.raises(DataError, match="0 exported programs"):
        load(path)
