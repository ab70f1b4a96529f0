"""Audit: a training job, recorded rounds, or a rule alone -> what it survives, against whom, in numbers."""

from varangian.audit.report import Finding, Report, Subject, ThreatModel, schema
from varangian.audit.series import Axis, Curves, Heatmap, Line, Mark

__all__ = [
    "Axis",
    "Curves",
    "Finding",
    "Heatmap",
    "Line",
    "Mark",
    "Report",
    "Subject",
    "ThreatModel",
    "schema",
]
