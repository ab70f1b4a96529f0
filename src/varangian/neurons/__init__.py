"""Neurons: a trained model, and faults of its parts -> how wrong it gets, proven and measured."""
