"""Values of another kind are refused by name, when no type checker looks on."""

from __future__ import annotations

import re

import pytest
from specification.plain import Outcome, outcomes

WRONG: list[tuple[str, str]] = [
    ("vg.Experiment(workers=2.5)", "workers must be an integer"),
    ("vg.Experiment(workers=True)", "workers must be an integer"),
    ("vg.Experiment(steps='10')", "steps must be an integer"),
    ("vg.Experiment(seed=None)", "seed must be an integer"),
    ("vg.Experiment(learning_rate='0.1')", "learning_rate must be a finite number"),
    ("vg.Experiment(clip='none')", "clip must be a finite number"),
    ("vg.Experiment(rule='krum')", "rule must be a Stage"),
    ("vg.Experiment(rule=vg.Krum)", "pass a value, Krum"),
    ("vg.Experiment(attack='alie')", "attack must be a"),
    ("vg.Experiment(attack=vg.SignFlip)", "pass a value, SignFlip"),
    ("vg.Experiment(split='iid')", "split must be a Split"),
    ("vg.Experiment(split=vg.IID)", "pass a value, IID"),
    ("vg.Experiment(dtype=torch.float32)", "dtype must be one of float32, float64"),
    ("vg.Experiment(dtype=['float32'])", "dtype must be one of"),
    ("vg.Experiment(momentum_at=['worker'])", "momentum_at must be one of"),
    ("vg.Experiment(device=None)", "device"),
    ("vg.Experiment(device=['cpu'])", "device"),
    ("vg.Experiment(nesterov='no')", "nesterov must be"),
    ("vg.Experiment(nesterov=1)", "nesterov must be"),
    ("vg.Experiment(evaluation_mode='off')", "evaluation_mode must be"),
    ("vg.run(vg.Experiment(model=3, steps=1))", "model"),
    ("vg.run(vg.Experiment(data=7, steps=1))", "data"),
    ("parse_rule('krum:f=two', 2)", "f must be an integer"),
    ("parse_rule('krum:f=', 2)", "f must be an integer"),
    ("parse_rule('krum:f=1.0', 2)", "f must be an integer"),
    ("parse_rule('krum', '2')", "f must be an integer"),
    ("parse_rule('cc:radius=far', 2)", "radius must be a finite number"),
    ("parse_rule('median:as_released=maybe', 2)", "as_released"),
    ("parse_attack('alie:z=big')", "z must be a finite number"),
    ("parse_attack('scale:c=none')", "c must be a finite number"),
    ("parse_attack('mimic:warmup=long')", "warmup must be an integer"),
    ("parse_attack('optimal:attack=nan')", "needs an attack on a line"),
    ("vg.Optimal(attack=vg.Mimic())", "needs an attack on a line"),
    ("vg.SignFlip()(torch.zeros(3, 2), b=1.0)", "b must be an integer"),
    ("vg.SignFlip()(torch.zeros(3, 2), b=None)", "b must be an integer"),
    ("from_strings({'rule': 'krum', 'f': '2'})", "f must be a"),
    ("from_strings({'rule': ['krum']})", "rule must be a Stage"),
    ("from_strings({'learning_rate': 'fast'})", "learning_rate must be a finite number"),
    ("from_strings({'learning_rate': {'initial': 'x', 'decay': 2}})", "initial must be a finite number"),
    ("from_strings({'learning_rate': {'steps': 3, 'rates': 0.1}})", "learning_rate"),
    ("from_strings({'learning_rate': {'steps': [0], 'rates': ['fast']}})", "rate"),
    ("from_strings({'learning_rate': {'steps': [0, 'x'], 'rates': [0.1, 0.2]}})", "steps? must"),
    ("Piecewise(0)", "pieces"),
    ("Piecewise(((0, 0.1), (1.5, 0.2)))", "steps? must"),
    *(
        (f"from_strings(dict([read_pair('nesterov={word}')]))", "nesterov must be")
        for word in ("no", "off", "yes", "0")
    ),
]
RIGHT = [
    "vg.Experiment(nesterov=True, evaluation_mode=True, clip=1, learning_rate=1, momentum=0)",
    "from_strings(dict([read_pair('nesterov=true'), read_pair('clip=none'), read_pair('seed=3')]))",
    "parse_rule('nnm+cc:radius=1', 2)",
    "parse_attack('optimal:ipm:epsilon=1')",
]


@pytest.fixture(scope="module")
def seen() -> dict[str, Outcome]:
    return outcomes([*(expression for expression, _ in WRONG), *RIGHT])


@pytest.mark.parametrize(("expression", "words"), WRONG)
def test_refused_by_name(expression: str, words: str, seen: dict[str, Outcome]) -> None:
    outcome = seen[expression]
    assert "VarangianError" in outcome.kinds, outcome
    assert re.search(words, outcome.words), outcome


@pytest.mark.parametrize("expression", RIGHT)
def test_accepted(expression: str, seen: dict[str, Outcome]) -> None:
    assert not seen[expression].kinds, seen[expression]
