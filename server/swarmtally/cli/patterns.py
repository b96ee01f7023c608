"""Patterns on a terminal: effects as a table, and how throughput grows with agents as a small plot."""

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from swarmtally.cli.text import NONE, clean
from swarmtally_tools.patterns import CurveView, EffectView, GapView, PatternsView, RangeView

WIDTH, HEIGHT = 48, 10
"""Of a plot, in columns and lines."""

NARROW = 70
"""On a terminal narrower than this a plot has half the columns."""

_SEEN, _FITTED = "●", "·"


def show(view: PatternsView, console: Console) -> None:
    """Print `view`."""
    title = f"project {view.project}, {view.operation}, {view.since} to {view.until}: {view.status}"
    console.print(Text(clean(title), style="bold"))
    for part in _parts(view, WIDTH if console.width >= NARROW else WIDTH // 2):
        console.print(part)
    for name, why in view.reasons.items():
        console.print(Text(clean(f"{name}: {why}")))
    if view.warning:
        console.print(Text(view.warning, style="dim"))


def _parts(view: PatternsView, width: int) -> Iterator[RenderableType]:
    yield _operations(view)
    if view.effects:
        yield Text(f"Effects ({len(view.effects)} of {view.effects_total}), all else equal", style="bold")
        yield _effects(view.effects)
    for curve in view.curves:
        yield from _curve(curve, width)
    if view.gaps:
        yield Text("Not known", style="bold")
        yield _gaps(view.gaps)


def _operations(view: PatternsView) -> Table:
    table = _table("rows for", "own", "given", "needed")
    for each in view.operations:
        table.add_row(each.operation, str(each.own), str(each.given), str(each.needed))
    return table


def _effects(effects: list[EffectView]) -> Table:
    table = _table("factor", "on", "effect", "n", "rows")
    for each in effects:
        change = f"{each.factor} {each.level} (against {each.against})"
        table.add_row(
            clean(change), each.target, effect(each), str(each.n), f"{each.source} {each.operation.partition('_')[0]}s"
        )
    return table


def effect(view: EffectView) -> str:
    """An effect with its interval: times as much, or points of the share of successes."""
    if view.unit == "ratio":
        return _range(view.effect, "x")
    value, low, high = (100 * part for part in (view.effect.value, view.effect.low, view.effect.high))
    return f"{value:+.1f} points ({low:+.1f} to {high:+.1f})"


def _curve(view: CurveView, width: int) -> Iterator[RenderableType]:
    of = "given rows" if view.of == "given" else view.of
    yield Text(f"Throughput of {of} against one agent, {view.rows} rows", style="bold")
    if view.sigma is not None and view.kappa is not None:
        yield plot(view, width)
        best = NONE if view.best_agents is None else _range(view.best_agents)
        yield _pairs(
            ("sigma", _range(view.sigma)),
            ("kappa", _range(view.kappa)),
            ("best agents (n*)", best),
            ("enough agents", NONE if view.enough_agents is None else str(view.enough_agents)),
        )
    for told in (view.reason, view.note, *view.runs_to_make):
        if told:
            yield Text(clean(told))


def plot(view: CurveView, width: int) -> RenderableType:
    """Speed-up over agents: what was seen of each size, and the curve between, on a grid of `width` columns."""
    assert view.sigma is not None
    assert view.kappa is not None
    most = max(size.agents for size in view.sizes)
    sigma, kappa = view.sigma.value, view.kappa.value

    def fitted(n: float) -> float:
        return n / (1 + sigma * (n - 1) + kappa * n * (n - 1))

    along = [1 + (most - 1) * column / (width - 1) for column in range(width)]
    top = max([fitted(n) for n in along] + [size.speed_up.value for size in view.sizes])
    grid = [[" "] * width for _ in range(HEIGHT)]
    for column, n in enumerate(along):
        grid[_line(fitted(n), top)][column] = _FITTED
    for size in view.sizes:
        grid[_line(size.speed_up.value, top)][round((size.agents - 1) / (most - 1) * (width - 1))] = _SEEN
    marked = {0: f"{top:.1f}x", HEIGHT - 1: f"{top / HEIGHT:.1f}x"}
    lines = [f"{marked.get(number, ''):>7} |{''.join(line)}" for number, line in enumerate(grid)]
    ends = f"1{most:>{width - 1}} agents"
    axis = [f"{'':>7} +{'-' * width}", f"{'':>7}  {ends}", f"{'':>7}  {_SEEN} measured  {_FITTED} fitted"]
    return Group(*(Text(line, no_wrap=True, overflow="crop") for line in [*lines, *axis]))


def _line(value: float, top: float) -> int:
    """Which line of the grid from above holds `value`; each is a tenth of `top`."""
    return min(HEIGHT - 1, max(0, round(HEIGHT * (1 - value / top))))


def _gaps(gaps: list[GapView]) -> Table:
    table = _table("of", "on", "why", "runs to make")
    for gap in gaps:
        of = " ".join(filter(None, (gap.source, gap.operation, gap.factor, gap.level)))
        table.add_row(clean(of), ", ".join(gap.targets), clean(gap.reason), clean("; ".join(gap.runs_to_make)))
    return table


def _range(view: RangeView, unit: str = "") -> str:
    return f"{view.value:.3g}{unit} ({view.low:.3g} to {view.high:.3g})"


def _pairs(*pairs: tuple[str, str]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for pair in pairs:
        table.add_row(*pair)
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold", style="bold" if column == columns[0] else None)
    return table
