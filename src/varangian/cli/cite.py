"""``varangian cite``: the publications behind names, for people and for BibTeX."""

from __future__ import annotations

import re

import click

import varangian
from varangian.cli.console import show
from varangian.core.citations import Reference
from varangian.data import DATASETS
from varangian.errors import UnknownNameError
from varangian.models import MODELS
from varangian.neurons import FAULTS
from varangian.neurons.papers import BOUNDS
from varangian.specification import attack_names, rule_names
from varangian.specification.names import canonical

LIBRARY = f"""\
Varangian {varangian.__version__}: Byzantine-resilient machine learning. The Varangian developers.
Cite the papers whose algorithms you use as well: varangian cite nnm+trmean alie mnist, for instance.

@software{{varangian,
  author = {{{{The Varangian developers}}}},
  title = {{{{Varangian: Byzantine-resilient machine learning}}}},
  version = {{{varangian.__version__}}}
}}"""


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
def cite(names: tuple[str, ...]) -> None:
    """Print references and their BibTeX entries.

    A NAME is that of a rule, mixer, attack, data set or model, of a fault of neurons, or of a bound on what
    such faults do. A chain such as nnm+trmean is cited stage by stage. Without a name: the library itself.
    """
    if not names:
        show(LIBRARY)
        return
    known = publications()
    cited: set[str] = set()
    told = [_told(known, part, cited) for name in names for part in parts(name)]
    show("\n\n".join(told))


def publications() -> dict[str, tuple[str, Reference | None]]:
    """Return what every spelling stands for, and its publication."""
    rules = {name: (kind.__name__, kind.reference) for name, kind in rule_names().items()}
    attacks = {name: (kind.__name__, kind.reference) for name, kind in attack_names().items()}
    data = {source.name: (source.name, source.reference) for source in DATASETS}
    models = {model.name: (model.name, model.reference) for model in MODELS}
    faults = {canonical(kind): (kind.__name__, kind.reference) for kind in FAULTS}
    return {**rules, **attacks, **data, **models, **faults, **BOUNDS}


def parts(spelling: str) -> list[str]:
    """Return the names in a spelling, without their fields.

    >>> parts("nnm+cc:radius=1.5,steps=3"), parts("optimal:ipm")
    (['nnm', 'cc'], ['optimal', 'ipm'])
    """
    return [part.strip() for part in re.split(r"[+:]", spelling) if "=" not in part]


def _told(known: dict[str, tuple[str, Reference | None]], name: str, cited: set[str]) -> str:
    if name.lower() not in known:
        raise UnknownNameError("rule, mixer, attack, data set, model, fault or bound", name, known)
    called, reference = known[name.lower()]
    if reference is None:
        return f"{called}: no publication; it is folklore, or made to test this library."
    line, entry = f"{called}: {reference.short}", reference.bibtex()
    key = entry.partition(",")[0]
    if key in cited:
        return f"{line} (above)"
    cited.add(key)
    return f"{line}\n{entry}"
