"""``varangian audit``: what does this survive? A report in a folder, and an exit code."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from varangian.audit import Report, audit, replay
from varangian.audit.conditions import NUMBERS
from varangian.audit.written import check_target
from varangian.cli.bar import Bar
from varangian.cli.certificate import CERTIFICATES
from varangian.cli.choices import DEFAULTS, experiment_of
from varangian.cli.commands import Commands
from varangian.cli.console import show, table
from varangian.cli.live import clock
from varangian.core.stages import Stage
from varangian.errors import ParameterError
from varangian.specification import Experiment
from varangian.specification.names import parse_rule

FAILED = 1
NAMED = 3
"""Files that are named of those that were written."""
STEPS = 40
"""What the audit of no file in particular trains."""
TENTHS = 1000


class Audits(Commands):
    """A group whose words are what is to be audited, unless they are a command of its own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Return the arguments, with ``run`` before them where no command is named; a bare word is one."""
        named = bool(args) and args[0].replace("-", "").isalpha() and not args[0].startswith("-")
        return super().parse_args(ctx, args if named else ["run", *args])


@click.group("audit", cls=Audits, commands=CERTIFICATES)
def audits() -> None:
    """Tell what a training job, recorded rounds or a rule survive."""


@audits.command(
    epilog=f"""\b
Without a file: {DEFAULTS["data"]}, {DEFAULTS["workers"]} workers of which {DEFAULTS["byzantine"]} lie, rule
{DEFAULTS["rule"]}, {STEPS} steps. What is left of the accuracy under each attack is trained: some fifty runs.

\b
Rounds are files (.npy, .npz, .safetensors, .parquet) with a matrix (clients, coordinates) or a vector for
each client, or folders with a file for each client; weights.json holds weights.

\b
Conditions name a number of the report: {", ".join(list(NUMBERS)[:6])},
{", ".join(list(NUMBERS)[6:])}.

\b
Examples:
  varangian audit --fail-if "worst_accuracy < 0.9" --fail-if "coefficient > 1"
  varangian audit experiment.toml --rule krum --out report
  varangian audit --rounds recorded --rule arc+mean --f 1 --weights 5,3,1,1
  varangian audit --rule nnm+trmean --n 20 --f 4
  varangian audit replay audit/worst-attack.npz
  varangian audit key examiner
  varangian audit certify audit --key examiner.key --issuer "Jane Doe, Examiners Ltd"
  varangian audit verify audit --key examiner.pub

\b
Exit codes: 0 done, 1 a condition made it fail, 2 refused, 130 interrupted; then nothing is written.
"""
)
@click.argument("words", nargs=-1, metavar="[EXPERIMENT.toml] [FIELD=VALUE]...")
@click.option("--rounds", type=click.Path(path_type=Path), metavar="DIR", help="A folder of recorded rounds.")
@click.option("--n", type=int, metavar="N", help="Audit the rule alone, for n vectors.")
@click.option("--rule", help="How the server aggregates: varangian list rules; mixers before, with a plus.")
@click.option("--f", type=int, metavar="F", help="How many liars the rule declares.")
@click.option(
    "--byzantine", type=int, metavar="B", help="How many lie in the audit; as declared if not said."
)
@click.option("--weights", metavar="W,W,...", help="The clients' weights, of recorded rounds.")
@click.option("--cap", type=float, metavar="SHARE", help="The largest share of a client.")
@click.option("--mass", type=float, metavar="SHARE", help="How much of the weight liars may hold.")
@click.option(
    "--allowed", type=float, default=0.1, show_default=True, help="Accuracy that an attack may cost."
)
@click.option("--fail-if", "fail_if", multiple=True, metavar="CONDITION", help="Exit with 1 if it is true.")
@click.option(
    "--parts/--no-parts",
    default=None,
    help="Crash neurons of the trained model, too; if not said, where quick.",
)
@click.option("--out", type=click.Path(path_type=Path), default="audit", show_default=True, help="Where to.")
@click.option("--seed", type=int, metavar="N", help="The root of all randomness.")
@click.option("--quiet", is_flag=True, help="No progress on stderr; the findings are still printed.")
def run(
    words: tuple[str, ...],
    rounds: Path | None,
    n: int | None,
    rule: str | None,
    f: int | None,
    byzantine: int | None,
    weights: str | None,
    cap: float | None,
    mass: float | None,
    out: Path,
    quiet: bool,
    **options: Any,
) -> int:
    """Tell what a training job, recorded rounds, or a rule alone survive.

    Writes a folder with the report as JSON and HTML, the worst attack found, and every figure's numbers.
    """
    check_target(out)
    what, options["rule"] = _asked(words, rounds, n, rule, f, byzantine, options["seed"])
    seed = 1 if options["seed"] is None else options["seed"]
    options |= {
        "n": n if isinstance(what, Stage) else None,
        "byzantine": None if isinstance(what, Experiment) else byzantine,
        "weights": None if weights is None else _weights(weights),
        "cap": cap,
        "mass": mass,
        "seed": what.seed if isinstance(what, Experiment) else seed,
    }
    with _Progress(quiet=quiet) as progress:
        report = audit(what, **options, watch=progress)
        files = report.write(out)
    _tell(report)
    more = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
    show(f"Wrote {out}: {', '.join(files[:NAMED])}{more}")
    return FAILED if report.failed else 0


@audits.command("replay")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def replay_attack(file: Path) -> int:
    """Repeat the worst attack that an audit saved, and compare the numbers.

    Exit codes: 0 the same number, 1 another one, 2 the file is none of ours, or its rounds have changed.
    """
    again = replay(file)
    show(f"{again.words}.", f"{again.quantity} {again.number:.9g}, saved as {again.saved:.9g}: ")
    show("the same." if again.same else "NOT the same: another version, another machine, or a changed file?")
    return 0 if again.same else FAILED


def _asked(
    words: tuple[str, ...],
    rounds: Path | None,
    n: int | None,
    rule: str | None,
    f: int | None,
    byzantine: int | None,
    seed: int | None,
) -> tuple[Experiment | Path | Stage, Stage | None]:
    """Return what is to be audited, and the rule of recorded rounds."""
    if rounds is None and n is None:
        if not any("=" not in word for word in words) and not any(
            word.startswith("steps=") for word in words
        ):
            words = (*words, f"steps={STEPS}")
        flags: dict[str, Any] = {"rule": rule, "f": f, "byzantine": byzantine, "seed": seed}
        if f is not None and rule is None:
            flags["rule"] = DEFAULTS["rule"]
        return experiment_of(words, flags), None
    if words or (rounds is not None and n is not None):
        raise ParameterError("Audit one thing: an experiment, --rounds DIR, or a rule alone with --n N.")
    chosen = parse_rule(rule or str(DEFAULTS["rule"]), 1 if f is None else f)
    if not isinstance(chosen, Stage):
        raise ParameterError(f"{rule} draws a rule per step; audit each of its rules by itself.")
    return (rounds, chosen) if rounds is not None else (chosen, None)


def _weights(text: str) -> list[float]:
    try:
        return [float(weight) for weight in text.split(",")]
    except ValueError:
        raise ParameterError(f"--weights {text}: write numbers with commas, such as 5,3,1,1.") from None


def _tell(report: Report) -> None:
    rows = [[finding.status, finding.title, finding.shown] for finding in report.findings]
    show(report.summary, "", table(["", "finding", "found"], rows))
    for finding in report.findings:
        if finding.change and finding.status in ("warn", "fail", "refused"):
            show(f"{finding.title}: {finding.meaning} {finding.change}")
    for check in report.checks:
        value = "was not measured" if check.value is None else f"is {check.value:.6g}"
        show(f"fail if {check.text}: it {value}, {'FAILED' if check.holds else 'passed'}")


class _Progress(Bar):
    """Draws which share is done, and how long the rest may take."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__("audit", TENTHS, "reading", counted=False, quiet=quiet)
        self.begun = time.monotonic()

    def __call__(self, what: str, share: float) -> None:
        """Take in what is under way, and how much is done."""
        elapsed = time.monotonic() - self.begun
        left = f"  {clock(elapsed * (1 - share) / share)} left" if share > 0.01 else ""
        self.show(completed=round(share * TENTHS), told=f"{what}{left}")
