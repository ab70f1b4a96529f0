"""Audit: a job, recorded rounds or a rule alone -> a report of what it survives, and a certificate."""
