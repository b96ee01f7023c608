"""Least squares whose intervals hold when noise differs from row to row, and when rows of one run are alike.

The variance is the jackknife's over runs (CR3; with one row a run HC3: J. G. MacKinnon and H. White, J. Econometrics
29, 1985). Its degrees of freedom are as many as runs carry the estimate (after F. E. Satterthwaite, Biometrics Bulletin
2, 1946).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from swarmtally.learning.answers import LEVEL
from swarmtally.learning.fitting import Floats, Ints

_RANK = 1e-8
"""Directions of the columns that are this much shorter than the longest are none."""

_APART = 1e-6
"""A column with more than this of it in a direction that the rows do not show cannot be told from others."""

_ALONE = 1 - 1e-7
"""What of a direction one run may carry at most, where its effect is to be known without that run."""


@dataclass(frozen=True, slots=True)
class Coefficients:
    """For each column, shape (columns,): its coefficient and half of its interval of `LEVEL`; NaN where the rows do not
    tell it. `mixed` holds for each column the others that it cannot be told from."""

    value: Floats
    half_width: Floats
    mixed: tuple[tuple[int, ...], ...]


def regress(values: Floats, target: Floats, runs: Sequence[str]) -> Coefficients:
    """Explain `target` (rows,) by columns `values` (rows, columns); `runs` says which rows belong together."""
    from scipy.special import stdtrit

    length = np.linalg.norm(values, axis=0)
    length[length == 0] = 1
    scaled = values / length
    if len(scaled) < len(length):
        # Otherwise the directions that no row shows would be left out of the decomposition.
        scaled = np.vstack([scaled, np.zeros((len(length) - len(scaled), len(length)))])
    basis, strength, directions = np.linalg.svd(scaled, full_matrices=False)
    rank = int((strength > _RANK * strength[0]).sum())
    hidden = directions[rank:]
    basis, weights = basis[: len(values), :rank], (directions[:rank].T / strength[:rank]) / length[:, None]
    found = basis.T @ target
    pulls, carried, alone = _jackknife(basis, target - basis @ found, runs, weights)
    value = weights @ found
    variance = (pulls**2).sum(axis=0)
    freedom = np.maximum(1.0, carried.sum(axis=0) ** 2 / np.maximum((carried**2).sum(axis=0), 1e-300) - 1)
    half_width = stdtrit(freedom, (1 + LEVEL) / 2) * np.sqrt(variance)
    mixed = _mixed(hidden, values.shape[1])
    unknown = alone | np.array([bool(others) for others in mixed])
    value[unknown], half_width[unknown] = np.nan, np.nan
    return Coefficients(value, half_width, mixed)


def _jackknife(
    basis: Floats, residuals: Floats, runs: Sequence[str], weights: Floats
) -> tuple[Floats, Floats, "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]"]:
    """By how much each column's coefficient changes without each run, how much of it each run carries, both of shape
    (runs, columns), and which columns rest on one run alone (columns,)."""
    order, bounds = _together(runs)
    basis, residuals = basis[order], residuals[order]
    shares: Floats = basis @ weights.T
    count = len(bounds) - 1
    pulls, carried = np.zeros((count, len(weights))), np.zeros((count, len(weights)))
    alone = np.zeros(len(weights), dtype=np.bool_)
    for number in range(count):
        part = slice(bounds[number], bounds[number + 1])
        own, left = basis[part], residuals[part]
        carried[number] = (shares[part] ** 2).sum(axis=0)
        change, only = _without(own, left)
        if only.size:
            alone |= (np.abs(weights @ only) > _APART * np.abs(weights).max(axis=1, keepdims=True)).any(axis=1)
        pulls[number] = weights @ change
    return pulls, carried, alone


def _without(own: Floats, left: Floats) -> tuple[Floats, Floats]:
    """By how much what was found changes without a run of these rows (rows, directions) with these residuals (rows,),
    and the directions that rest on that run alone, one a column."""
    wide = len(own) < own.shape[1]
    # What the run carries of each direction, the other runs do not: 1 - that. The same by rows, where those are fewer.
    share = own @ own.T if wide else own.T @ own
    pull = left if wide else own.T @ left
    # A sum of shares that are all too small needs no look at each.
    if np.trace(share) < _ALONE:
        found: Floats = np.asarray(np.linalg.solve(np.eye(len(share)) - share, pull), dtype=np.float64)
        return (own.T @ found if wide else found), np.zeros((own.shape[1], 0))
    held, axes = np.linalg.eigh(share)
    kept, only = axes[:, held < _ALONE], axes[:, held >= _ALONE]
    found = kept @ ((kept.T @ pull) / (1 - held[held < _ALONE]))
    return (own.T @ found, own.T @ only) if wide else (found, only)


def _together(runs: Sequence[str]) -> tuple[Ints, Ints]:
    """An order in which rows of a run are neighbours, and where each run begins, with the end."""
    _, number = np.unique(np.array(runs, dtype=object).astype(str), return_inverse=True)
    order = np.argsort(number, kind="stable")
    starts = np.flatnonzero(np.diff(number[order], prepend=-1))
    return order, np.append(starts, len(order))


def _mixed(hidden: Floats, columns: int) -> tuple[tuple[int, ...], ...]:
    found = []
    for column in range(columns):
        with_it = hidden[np.abs(hidden[:, column]) > _APART] if len(hidden) else hidden
        others = np.flatnonzero((np.abs(with_it) > _APART).any(axis=0)) if len(with_it) else np.array([], dtype=int)
        found.append(tuple(int(other) for other in others if other != column) or ((column,) if len(with_it) else ()))
    return tuple(found)
