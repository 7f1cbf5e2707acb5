"""What every objective begins with: arrays of the right shape that hold numbers, and the mean that ends most."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from orbiter.errors import ConfigError

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]


def mean_loss(losses: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the mean of losses, each times its weight: ``sum(w_i l_i) / B``.

    The sum is divided by B, not by the sum of the weights: weights that have mean 1 over the data set leave the step size as it is,
    and a batch of doubtful pairs takes a small step. TRL's two weights of KTO work the same way.

    Args:
        losses: (B,)
        weights: (B,), each >= 0; None is 1 for all.
    """
    (values,) = vectors(losses=losses)
    if weights is not None:
        values, factors = vectors(losses=values, weights=weights)
        if factors.min() < 0:
            raise ConfigError(f"weights must be >= 0, got {factors.min()}")
        values = values * factors
    return float(values.mean())


def vectors(**values: ArrayLike) -> list[Floats]:
    """Return the values as arrays of one shape (B,), finite, B >= 1."""
    arrays = [array(name, value, ndim=1) for name, value in values.items()]
    return same_shape(dict(zip(values, arrays)))


def tokens(mask: ArrayLike, **values: ArrayLike) -> tuple[Bools, list[Floats]]:
    """Return the mask as booleans and the values as arrays of its shape (B, T), with 0 where the mask is off."""
    on = booleans("mask", mask, ndim=2)
    arrays = []
    for name, value in values.items():
        numbers = _numbers(name, value)
        _check_shape(name, numbers, on.shape)
        arrays.append(_finite(name, np.where(on, numbers, 0.0)))
    return on, arrays


def array(name: str, value: ArrayLike, *, ndim: int | None = None) -> Floats:
    """Return the value as a float64 array that is finite and not empty."""
    numbers = _numbers(name, value)
    if ndim is not None and numbers.ndim != ndim:
        raise ConfigError(f"{name} must have {ndim} axes, got the shape {numbers.shape}")
    if numbers.size == 0:
        raise ConfigError(f"{name} must not be empty, got the shape {numbers.shape}")
    return _finite(name, numbers)


def booleans(name: str, value: ArrayLike, *, ndim: int) -> Bools:
    """Return a mask of 0 and 1, or false and true, as booleans."""
    numbers = array(name, value, ndim=ndim)
    if not np.isin(numbers, (0.0, 1.0)).all():
        raise ConfigError(f"{name} must hold 0 and 1 alone, got {numbers.min()} to {numbers.max()}")
    return numbers.astype(np.bool_)


def same_shape(arrays: dict[str, Floats]) -> list[Floats]:
    """Return the arrays, which must have the shape of the first."""
    (first, *_) = arrays.values()
    for name, numbers in arrays.items():
        _check_shape(name, numbers, first.shape)
    return list(arrays.values())


def check_rows(mask: Bools) -> None:
    """Raise ConfigError if a row of the mask is empty."""
    empty = np.flatnonzero(~mask.any(axis=-1))
    if empty.size:
        raise ConfigError(
            f"mask must have a token in every row, got none in row {empty[0]}",
            hint="leave answers without tokens out of the batch",
        )


def log_sigmoid(x: Floats) -> Floats:
    """Return ln(1 / (1 + e^-x)) without overflow."""
    return -np.logaddexp(0.0, -x)


def sigmoid(x: Floats) -> Floats:
    """Return 1 / (1 + e^-x) without overflow."""
    return np.exp(log_sigmoid(x))


def _numbers(name: str, value: ArrayLike) -> Floats:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} must be an array of numbers: {error}") from None


def _finite(name: str, numbers: Floats) -> Floats:
    if not np.isfinite(numbers).all():
        place = tuple(int(i) for i in np.argwhere(~np.isfinite(numbers))[0])
        raise ConfigError(f"{name} must be finite, got {numbers[place]} at {place}")
    return numbers


def _check_shape(name: str, numbers: Floats, shape: tuple[int, ...]) -> None:
    if numbers.shape != shape:
        raise ConfigError(f"{name} must have the shape {shape}, got {numbers.shape}")
