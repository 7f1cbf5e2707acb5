import numpy as np
import pytest


@pytest.fixture(scope="session")
def gradient():
    """Return the gradient of a function of one array by central differences."""

    def of(fn, x, step=1e-6):
        x = np.asarray(x, dtype=float)
        found = np.zeros_like(x)
        for place in np.ndindex(x.shape):
            up, down = x.copy(), x.copy()
            up[place] += step
            down[place] -= step
            found[place] = (fn(up) - fn(down)) / (2 * step)
        return found

    return of


@pytest.fixture
def rng():
    return np.random.default_rng(0)
