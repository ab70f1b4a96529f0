"""Code that calls a rule can be compiled: the graph breaks at the rule, which gives what it always gives."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import varangian as vg

X = torch.randn(11, 6000, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "rule",
    [vg.Median(f=2), vg.Krum(f=2), vg.chain(vg.NearestNeighborMixing(f=2), vg.TrimmedMean(f=2))],
    ids=repr,
)
def test_rules_in_compiled_code(rule: vg.Stage) -> None:
    def around(x: torch.Tensor) -> torch.Tensor:
        return rule(2 * x) + rule.aggregate(x).value + 1

    torch._dynamo.reset()
    compiled = torch.compile(around, backend="eager")
    for x in (X, X + 1, X[:, :17]):
        assert torch.equal(compiled(x), around(x))
    torch._dynamo.reset()
    with pytest.raises(torch._dynamo.exc.Unsupported, match="rules of varangian read"):
        torch.compile(around, backend="eager", fullgraph=True)(X)


def test_the_compiler_is_not_loaded_for_that() -> None:
    text = "import sys, varangian; print('torch._dynamo' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"
