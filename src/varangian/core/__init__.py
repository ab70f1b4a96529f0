"""Core: what a stage is, how a chain of them is planned and run, and the guard in front of both."""
