"""Audit: a training job, recorded rounds, or a rule alone -> what it survives, against whom, in numbers."""

from varangian.audit.audit import audit
from varangian.audit.recording import Round, read_rounds
from varangian.audit.replay import Replayed, replay
from varangian.audit.report import Finding, Report, Subject, ThreatModel, schema
from varangian.audit.series import Axis, Curves, Heatmap, Line, Mark

__all__ = [
    "Axis",
    "Curves",
    "Finding",
    "Heatmap",
    "Line",
    "Mark",
    "Replayed",
    "Report",
    "Round",
    "Subject",
    "ThreatModel",
    "audit",
    "read_rounds",
    "replay",
    "schema",
]
