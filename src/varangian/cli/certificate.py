"""``varangian audit key | certify | verify``: sign what an audit found, and check it offline."""

from __future__ import annotations

from pathlib import Path

import click

from varangian.cli.console import show

FAILED = 1
FILE = click.Path(path_type=Path)


@click.command(
    "key",
    epilog="""\b
Example:
  varangian audit key examiner

Keep NAME.key to yourself: who has it can certify in your name. Give NAME.pub to everybody, on a way that
cannot be tampered with, or read out its fingerprint.
""",
)
@click.argument("name", type=FILE, metavar="NAME")
def make(name: Path) -> int:
    """Make a key to sign certificates with: NAME.key and NAME.pub."""
    from varangian.audit.signing import PUBLIC, SECRET, make_key

    mark = make_key(name)
    show(f"Made {name}{SECRET} and {name}{PUBLIC}, fingerprint {mark}.")
    return 0


@click.command(
    epilog="""\b
Example:
  varangian audit certify audit --key examiner.key --issuer "Jane Doe, Examiners Ltd" --days 90
"""
)
@click.argument("folder", type=FILE)
@click.option("--key", type=FILE, required=True, metavar="NAME.key", help="Your key: varangian audit key.")
@click.option("--issuer", required=True, metavar="NAME", help="Who you are.")
@click.option("--claim", default="", metavar="TEXT", help="What you claim, in place of the report's summary.")
@click.option("--days", type=int, default=365, show_default=True, help="How long it holds.")
def certify(folder: Path, key: Path, issuer: str, claim: str, days: int) -> int:
    """Sign the report in a folder, and all files beside it.

    The certificate, FOLDER/certificate.json, says what is claimed of what, until when, and by which
    versions, seeds, code, data and updates.
    """
    from varangian.audit.certificate import certify as signed

    show(f"Wrote {signed(folder, key, issuer=issuer, claim=claim, days=days)}.")
    return 0


@click.command(
    epilog="""\b
Example:
  varangian audit verify audit --key examiner.pub

Exit codes: 0 it holds, 1 it does not, with the reasons, 2 a file cannot be read.
"""
)
@click.argument("certificate", type=FILE, metavar="CERTIFICATE|FOLDER")
@click.option("--key", type=FILE, required=True, metavar="NAME.pub", help="The issuer's public key.")
@click.option(
    "--rounds", type=FILE, metavar="DIR", help="Compare the recorded rounds that were audited, too."
)
def verify(certificate: Path, key: Path, rounds: Path | None) -> int:
    """Tell whether a certificate holds: its signature, its time, and the files beside it. Asks no network."""
    from varangian.audit.certificate import verify as checked

    found = checked(certificate, key, updates=rounds)
    for reason in found.reasons:
        show(f"Does not hold: {reason}.")
    if not found.holds:
        return FAILED
    said = found.content
    show(
        f"Holds until {said['expires']}, says {said['issuer']}: {said['claim']}",
        f"Files as certified: {', '.join(said['files'])}.",
    )
    return 0


CERTIFICATES = (make, certify, verify)
"""The commands of ``varangian audit`` that deal with certificates."""
