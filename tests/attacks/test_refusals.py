"""What is no rule, no option or no stream is refused in words, whichever attack it meets."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import pytest
import torch

import varangian as vg
from varangian.attacks.options import OPTIONS
from varangian.errors import InputError, ParameterError

X = torch.zeros(8, 6)
MIXER = vg.NearestNeighborMixing(f=2)
WHITE_BOX: list[vg.Attack] = [vg.Optimal(), vg.HiddenVulnerability()]
EVERY: list[vg.Attack] = [*WHITE_BOX, vg.Gaussian(), vg.SignFlip()]
RULES = ("'median'", "''", "0", "len", "vg.Median", "[vg.Median(f=2)]", "vg.SignFlip()")
WRONG = {
    **{
        f"vg.{attack}(X, b=2, rule={rule})": f"ParameterError: {attack} received rule="
        for attack in WHITE_BOX
        for rule in RULES
    },
    **{
        f"vg.{attack}(X, b=2, rule=vg.Median(f=2), options={options})": "InputError: options="
        for attack in EVERY
        for options in ("0", "3", "'abc'", "[1]", "{1: 2}")
    },
    **{
        f"vg.{attack}(X, b=2, rule=vg.chain(vg.Bucketing(f=2, s=2), vg.Median(f=2)), {stream})": (
            "InputError: stream = 3 arrived"
        )
        for attack in EVERY
        for stream in ("stream=3", "options={'stream': 3}")
    },
}
"""Values of a wrong type: how the error begins that each meets."""

TRY_ALL = """
import json, sys
import torch, varangian as vg
X = torch.zeros(8, 6)
seen = {}
for source in json.load(sys.stdin):
    try:
        seen[source] = repr(eval(source))
    except Exception as error:
        seen[source] = f"{type(error).__name__}: {error}"
print(json.dumps(seen))
"""


def test_wrong_types() -> None:
    """They are tried where no type checker, as under these tests, refuses them first."""
    command, sources = [sys.executable, "-c", TRY_ALL], json.dumps(list(WRONG))
    done = subprocess.run(command, check=True, capture_output=True, text=True, input=sources)
    seen = json.loads(done.stdout)
    assert [(source, seen[source]) for source in WRONG if not seen[source].startswith(WRONG[source])] == []


@pytest.mark.parametrize("attack", WHITE_BOX, ids=repr)
@pytest.mark.parametrize("rule", [MIXER, vg.chain(MIXER, vg.Clipping(radius=3.0, f=2))], ids=repr)
def test_a_rule_that_returns_many_vectors(attack: vg.Attack, rule: vg.Stage) -> None:
    with pytest.raises(ParameterError, match="returns many vectors; end it with a rule"):
        attack(X, b=2, rule=rule)


@pytest.mark.parametrize("attack", EVERY, ids=repr)
@pytest.mark.parametrize("name", ["foo", "out"])
def test_options_of_another_name(attack: vg.Attack, name: str) -> None:
    with pytest.raises(InputError, match=rf"options=\['{name}'\] arrived; pass a dict"):
        attack(X, b=2, rule=vg.Median(f=2), options={name: X[0]})


def test_the_options_are_what_a_rule_takes_beside_the_vectors() -> None:
    assert {*OPTIONS, "self", "x", "out"} == set(inspect.signature(vg.Stage.aggregate).parameters)
