"""Against whom the numbers hold, and what they say nothing about."""

from __future__ import annotations

from varangian.audit.report import Subject, ThreatModel

NOT_COVERED = (
    "small backdoors: a rule bounds the error of a mean; it does not look into a model",
    "a server that lies, and whoever publishes its code",
    "what the server, or who reads the updates, learns about the data",
    "liars who come and go, or are more than was said",
    "attacks that were not tried: a search finds what it finds, and only the proven coefficient is a bound",
)

NO_FAULTS = "neurons that crash or lie, and weights that lose bits"
SOME_FAULTS = (
    "neurons that crash in several layers at once, or lie; weights that lose bits; and liars beside them"
)


def threat_model(
    subject: Subject, attacks: int, *, privacy: bool = False, trusts: bool = False, crashes: bool = False
) -> ThreatModel:
    """Return the card that stands before every number; ``crashes`` of neurons may have been measured."""
    n, b, kind = subject.n, subject.b, subject.kind
    lie = "1 of them lies" if b == 1 else f"{b} of them lie, together"
    covered = [line for line in NOT_COVERED if not (privacy and line.startswith("what the server"))]
    covered.append(SOME_FAULTS if crashes else NO_FAULTS)
    if kind != "experiment":
        covered.append("accuracy: without the training job, only errors of the aggregate can be told")
    if kind == "rule":
        covered.append("your data: the vectors here are invented, and chosen to be hard")
    if kind == "recording":
        covered.append(
            "what an attack in one round does to the rounds after it: each was attacked as recorded"
        )
        covered.append("whether the recorded vectors are honest themselves")
    assumed = [
        f"at most {b} lie, the same ones in all rounds" if kind == "experiment" else f"at most {b} lie",
        "the others compute what the protocol asks of them",
    ]
    if trusts:
        assumed.append("the vector that the rule trusts is the honest mean itself")
    if subject.shares is not None:
        assumed.append("the weights are those that were given, and nobody chooses its own")
    return ThreatModel(
        f"{n} {'workers' if kind == 'experiment' else 'clients'} send vectors to one server; {lie}.",
        ("the server and its code", "the channel: the server knows who sent a vector, one a round from each"),
        (
            "every honest vector, before it has to send its own",
            "the rule, its parameters, and its random numbers",
            *(("the model and the honest workers' data",) if kind == "experiment" else ()),
        ),
        (
            "send any vector in place of its own, one that is not finite included",
            f"choose its vectors anew in every round, by {attacks} known attacks or a search beyond them",
        ),
        tuple(assumed),
        tuple(covered),
    )
