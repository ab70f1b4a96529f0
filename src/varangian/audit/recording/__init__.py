"""Recording: files that somebody recorded -> rounds, block by block."""

from varangian.audit.recording.folder import read_rounds
from varangian.audit.recording.rounds import Round

__all__ = ["Round", "read_rounds"]
