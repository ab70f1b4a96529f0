"""Processes of parties that do not trust each other: a file that describes them -> a model."""
