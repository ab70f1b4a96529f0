"""The digits that scikit-learn carries inside: no file, no download."""

from __future__ import annotations

import numpy as np

from varangian.core.randomness import Stream
from varangian.data.decode import Arrays
from varangian.errors import MissingExtraError

_TEST_EVERY = 5
_BRIGHTEST = 16


def read_digits() -> Arrays:
    """Return the 1797 images, pixels scaled from 0..16 to 0..1, 1437 to train on and 360 to test.

    Randomness  a fixed shuffle; then every fifth image of the shuffled, sorted by class, tests
    Raises      MissingExtraError without scikit-learn
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingExtraError("The data set digits", "data") from error
    flat, labels = load_digits(return_X_y=True)
    images = (flat / _BRIGHTEST).astype(np.float32).reshape(-1, 1, 8, 8)
    shuffled = Stream(0).at("digits split").numpy().permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    tests = np.arange(len(labels)) % _TEST_EVERY == 0
    train, test = np.sort(by_class[~tests]), np.sort(by_class[tests])
    labels = labels.astype(np.int64)
    return Arrays(images[train], labels[train], images[test], labels[test])
