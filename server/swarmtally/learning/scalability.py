"""How throughput grows with the number that work at once, by the Universal Scalability Law.

X(n) = lambda n / (1 + sigma (n - 1) + kappa n (n - 1)) (N. J. Gunther, *Guerrilla Capacity Planning*, 2007): sigma is
the share of the work that only one can do at a time, kappa what keeping each other up to date costs. X is greatest at
n* = sqrt((1 - sigma) / kappa). Fitted by least squares on log X with 0 <= sigma <= 1 and kappa >= 0; lambda is each
kind of work's own, since kinds differ in size. Intervals are of a parametric bootstrap around the fit, whose noise is
as uncertain as few rows make it; where sizes scatter more than the rows within them, their scatter counts.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil, exp, floor, isfinite, log, sqrt

import numpy as np

from swarmtally.learning.answers import LEVEL, Insufficient, Interval
from swarmtally.learning.fitting import BoundedFit, Cells, Floats, Ints, fit_cells

MIN_ROWS = 30
"""Fewer runs say nothing about a curve."""

MIN_SIZES = 4
"""Three unknowns, and one size more to see whether they describe it."""

WIDEST = 4.0
"""An interval of n* whose ends are further apart than this, as a ratio, is no answer."""

PAYS = 0.1
"""An agent pays while it adds this share of what one adds that works alone."""

REPLICATES = 1_000
"""Of the bootstrap; a fifth of them where there are more cells than `MANY`, so that any history is done in seconds."""

MANY = 200

DRAWS = 200
"""What may be true besides the fit: so many pairs of sigma and kappa from the bootstrap are given."""

_MISFIT = 0.01
"""Sizes scatter more than their rows explain when that had a smaller chance than this (F test for lack of fit)."""

_TINY = 1e-300


@dataclass(frozen=True, slots=True)
class Size:
    """What was seen of `n` at work at once: throughput against one alone, as the fit has that one, from `rows` runs."""

    n: int
    rows: int
    speed_up: Interval
    fitted: Interval


@dataclass(frozen=True, slots=True)
class Scalability:
    """A fitted curve.

    `best` is n*; None where history does not tell, and then `reason` says why, `at_least` what it is not below, and
    `runs_to_make` what would tell. `enough` is the smallest n at which the next one adds less than `PAYS` of what one
    does alone; None where that lies beyond what was tried.
    """

    rows: int
    kinds: int
    left_out: int
    throughput_alone: float | None
    """lambda, per second; None where kinds of work differ."""
    sigma: Interval
    kappa: Interval
    best: Interval | None
    at_least: int | None
    reason: str | None
    runs_to_make: tuple[str, ...]
    enough: int | None
    misfit: bool
    """Whether sizes scatter more around the curve than the runs within a size explain."""
    sizes: tuple[Size, ...]
    draws: tuple[tuple[float, float], ...]
    """Pairs (sigma, kappa) that the same runs may have come from, at most `DRAWS`."""

    def speed_up(self, n: int) -> float:
        """X(n) / X(1)."""
        return float(speed_ups(np.array([n]), np.array([self.sigma.value]), np.array([self.kappa.value]))[0, 0])


def fit_scalability(
    points: Sequence[tuple[int, float]],
    kinds: Sequence[Hashable] | None = None,
    seed: int = 0,
    work: Sequence[float | None] | None = None,
) -> Scalability | Insufficient:
    """The curve through (how many worked at once, throughput per second), one for each run.

    Args:
        points: n is at least 1, throughput above 0.
        kinds: what kind of work each run was; runs are only compared with others of their kind. None: all alike.
        seed: of the bootstrap; the same points and seed give the same curve.
        work: how much each run had to do beside the number of its tasks, such as bytes of its prompt, more than 0; what
            that explains is taken off. None: not known.

    Raises:
        ValueError: a point is out of those bounds.
    """
    for n, throughput in points:
        if n < 1 or not (throughput > 0 and isfinite(throughput)):
            raise ValueError(f"no such point: {n} at once, {throughput} a second")
    unknown = [None] * len(points)
    sizes = [None if size is None else log(size) for size in work or unknown]
    cells = Cells.of([(n, log(x)) for n, x in points], kinds or unknown, sizes)
    refusal = _too_little(len(points), cells)
    if refusal is not None:
        return refusal
    fit = fit_cells(cells)
    noise = _noise(cells, fit)
    draws = _drawn(cells, fit, noise, seed)
    sigma, kappa = _interval(float(fit.sigma[0]), draws.sigma), _interval(float(fit.kappa[0]), draws.kappa)
    drawn = [draws]
    if kappa.low == 0:
        # Kappa may be 0, its bound, where a bootstrap around what was found promises too much (D. W. K. Andrews,
        # Econometrica 68, 2000): sigma may also be what it is without any kappa.
        without = fit_cells(cells, most_kappa=0.0)
        drawn.append(_drawn(cells, without, noise, seed))
        other = _interval(float(without.sigma[0]), drawn[-1].sigma)
        sigma = replace(sigma, low=min(sigma.low, other.low), high=max(sigma.high, other.high))
    best = _interval(float(_best(fit.sigma, fit.kappa)[0]), _best(draws.sigma, draws.kappa))
    verdict = _verdict(best, max(cells.sizes))
    return Scalability(
        rows=cells.rows,
        kinds=cells.kinds,
        left_out=len(points) - cells.rows,
        throughput_alone=float(np.exp(fit.alone[0, 0])) if cells.kinds == 1 else None,
        sigma=sigma,
        kappa=kappa,
        best=best if verdict.reason is None else None,
        at_least=verdict.at_least,
        reason=verdict.reason,
        runs_to_make=verdict.runs_to_make,
        enough=_enough(fit, max(cells.sizes)),
        misfit=noise.misfit,
        sizes=_sizes(cells, fit, draws, noise),
        draws=_thinned(drawn),
    )


def _thinned(drawn: Sequence[BoundedFit]) -> tuple[tuple[float, float], ...]:
    """As many of each, to six digits: they are stored with a model."""
    most = DRAWS // len(drawn)
    return tuple(
        (float(f"{sigma:.6g}"), float(f"{kappa:.6g}"))
        for fits in drawn
        for sigma, kappa in zip(fits.sigma[:most].tolist(), fits.kappa[:most].tolist(), strict=True)
    )


@dataclass(frozen=True, slots=True)
class _Verdict:
    at_least: int | None = None
    reason: str | None = None
    runs_to_make: tuple[str, ...] = ()


def _verdict(best: Interval, most: int) -> _Verdict:
    if best.high > most:
        at_least = min(most, max(1, floor(best.low)))
        beyond = 2 * most
        reason = f"at least {at_least}; try {beyond}: the best number may lie beyond the {most} that were tried"
        return _Verdict(at_least, reason, (runs_with(beyond),))
    if best.high > WIDEST * best.low:
        low, high = max(1, floor(best.low)), ceil(best.high)
        between = max(low + 1, min(high - 1, round(sqrt(best.low * best.high))))
        reason = f"between {low} and {high}: wider than {WIDEST:g} times, which is no answer"
        return _Verdict(low, reason, tuple(runs_with(n) for n in sorted({low, between, high})))
    return _Verdict()


def runs_with(agents: int, runs: int = 2) -> str:
    """What to do next, in the words that every refusal uses."""
    return f"make at least {runs} runs with {agents} agent{'s' if agents > 1 else ''}"


def _too_little(given: int, cells: Cells) -> Insufficient | None:
    """Why there is no curve, with the runs that would give one."""
    if not cells.rows:
        sizes = sorted(cells.every_size)
        if not sizes:
            runs = tuple(runs_with(1 << step, 8) for step in range(MIN_SIZES))
            return Insufficient("rows", "no run with a known number of agents", runs)
        seen = " and ".join(map(str, sizes)) if len(sizes) < 3 else f"{sizes[0]} to {sizes[-1]}"
        only = f"each kind of work ran with one number at once ({seen}), so nothing can be compared"
        nearest = max(sizes)
        return Insufficient("levels", f"{only}; try {2 * nearest}", (runs_with(2 * nearest),))
    short = (f"make at least {MIN_ROWS - cells.rows} more runs",) if cells.rows < MIN_ROWS else ()
    if len(cells.sizes) < MIN_SIZES:
        at_least, next_sizes = _next_sizes(cells)
        tried = ", ".join(map(str, cells.sizes))
        told = f"at least {at_least}; " if at_least > 1 else ""
        reason = (
            f"{told}try {', '.join(map(str, next_sizes))}: {cells.rows} runs with {tried} at once are"
            f" {len(cells.sizes)} sizes, and a curve needs {MIN_SIZES}"
        )
        return Insufficient("levels", reason, (*(runs_with(n) for n in next_sizes), *short))
    if short:
        reason = f"{cells.rows} runs that can be compared (of {given}), and a curve needs {MIN_ROWS}"
        return Insufficient("rows", reason, short)
    return None


def _next_sizes(cells: Cells) -> tuple[int, list[int]]:
    """What the best number is not below, and the sizes that would tell more."""
    sizes = cells.sizes
    at_least = cells.credibly_fastest()
    wanted = MIN_SIZES - len(sizes)
    tried = [sizes[-1] << step for step in range(1, wanted + 1)]
    if at_least == sizes[-1]:
        return at_least, tried
    # More is not known to be faster: what lies between the sizes says where the curve turns.
    gaps = sorted(pairwise(sizes), key=lambda gap: gap[0] - gap[1])
    between = [(low + high) // 2 for low, high in gaps if high - low > 1]
    return at_least, sorted({*between[:wanted], *tried[: max(0, wanted - len(between))]})


@dataclass(frozen=True, slots=True)
class Noise:
    """Standard deviation of one run's log throughput, with how many degrees of freedom it is known."""

    deviation: float
    freedom: int
    misfit: bool
    """Whether it is that of the sizes around the curve, which is more than the runs within a size explain."""

    @property
    def t(self) -> float:
        """Student's quantile for an interval of `LEVEL`."""
        from scipy.special import stdtrit

        return float(stdtrit(self.freedom, (1 + LEVEL) / 2))


def _noise(cells: Cells, fit: BoundedFit) -> Noise:
    from scipy.special import fdtrc

    lack, freedom_lack = float(fit.loss[0]), cells.count - 2 - cells.kinds
    freedom_pure = cells.freedom
    if freedom_lack > 0 and freedom_pure > 0 and lack > 0:
        ratio = (lack / freedom_lack) / max(cells.scatter / freedom_pure, _TINY)
        if fdtrc(freedom_lack, freedom_pure, ratio) < _MISFIT:
            return Noise(sqrt(lack / freedom_lack), freedom_lack, misfit=True)
    freedom = max(1, cells.rows - 2 - cells.kinds - (cells.spread > 0))
    return Noise(sqrt((lack + cells.scatter) / freedom), freedom, misfit=False)


def _drawn(cells: Cells, fit: BoundedFit, noise: Noise, seed: int) -> BoundedFit:
    """Fits to what the same runs may have given."""
    generator = np.random.default_rng(seed)
    replicates = REPLICATES if cells.count <= MANY else REPLICATES // 5
    # How large the noise is, is itself only known from so many rows: Student's t instead of the normal distribution.
    deviation = noise.deviation * np.sqrt(noise.freedom / generator.chisquare(noise.freedom, (replicates, 1)))
    off = generator.standard_normal((replicates, cells.count)) * deviation / np.sqrt(cells.weight)
    if cells.spread:
        # What more work costs is itself only known from the rows.
        off += generator.standard_normal((replicates, 1)) * deviation / cells.spread * cells.work
    return fit_cells(cells, fit.fitted + off)


def _best(sigma: Floats, kappa: Floats) -> Floats:
    """n*; without kappa there is none, and one alone is the least there can be."""
    squares = np.full(kappa.shape, np.inf)
    np.divide(1 - sigma, kappa, out=squares, where=kappa > 0)
    found: Floats = np.maximum(1.0, np.sqrt(squares))
    return found


def _interval(value: float, draws: Floats) -> Interval:
    # Quantiles that are draws: between a number and infinity nothing can be interpolated.
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="inverted_cdf")
    return Interval(value, min(value, float(low)), max(value, float(high)), LEVEL)


def speed_ups(n: Floats, sigma: Floats, kappa: Floats) -> Floats:
    """X(n) / X(1) for each pair of sigma and kappa; shape (pairs, sizes)."""
    return n / (1 + sigma[:, None] * (n - 1) + kappa[:, None] * (n * (n - 1)))


def where_agents_stop_paying(sigma: Floats, kappa: Floats, most: int) -> Ints:
    """For each pair of sigma and kappa the smallest n whose next agent no longer pays; `most` + 1 where all up to
    `most` do."""
    n = np.arange(1, most + 2, dtype=np.float64)
    small = np.diff(speed_ups(n, sigma, kappa), axis=1) < PAYS
    return np.where(small.any(axis=1), small.argmax(axis=1) + 1, most + 1)


def _enough(fit: BoundedFit, most: int) -> int | None:
    found = int(where_agents_stop_paying(fit.sigma, fit.kappa, most)[0])
    return found if found <= most else None


def _sizes(cells: Cells, fit: BoundedFit, draws: BoundedFit, noise: Noise) -> tuple[Size, ...]:
    n = np.array(cells.sizes, dtype=np.float64)
    fitted, drawn = speed_ups(n, fit.sigma, fit.kappa)[0], speed_ups(n, draws.sigma, draws.kappa)
    # Each kind against its own lambda, so that runs of different work can be laid over each other.
    apart = cells.mean - fit.alone[0, cells.kind]
    found = []
    for index, size in enumerate(cells.sizes):
        weight = cells.weight[cells.n == size]
        seen, rows = float(np.average(apart[cells.n == size], weights=weight)), int(weight.sum())
        off = noise.t * noise.deviation / sqrt(rows)
        found.append(
            Size(
                size,
                rows,
                Interval(exp(seen), exp(seen - off), exp(seen + off), LEVEL),
                _interval(float(fitted[index]), drawn[:, index]),
            )
        )
    return tuple(found)
