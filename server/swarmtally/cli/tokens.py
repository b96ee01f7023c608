"""The count of tokens on a terminal: a table of the groups with their sum, and below it what the sum rests on."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from swarmtally.cli.text import NONE, clean
from swarmtally_tools.tokens import SpentView, TokensView

_COLUMNS = ("calls", "raw", "billed", "USD", "a: raw", "a: billed", "b: billed", "a: tokens")

_KEY_WIDTH = 14
"""That of an id, in cells."""

_GAP = 2
"""Between two columns."""


def show(view: TokensView, console: Console) -> None:
    """Print `view`."""
    whose = f"swarm {view.swarm_id}" if view.swarm_id else f"project {view.project}"
    title = f"{whose}, {view.operation} runs, calls sent {view.since} to {view.until}"
    console.print(Text(clean(title), style="bold"))
    console.print("Saved against separate requests (a) and the same ones cached (b)", style="dim")
    rows = [(str(view.group_by), *_COLUMNS), *((clean(group.key), *_cells(group)) for group in view.groups)]
    rows.append(("all", *_cells(view)))
    shown = _fitting(rows, console.width)
    table = Table(box=None, pad_edge=False)
    table.add_column(rows[0][0], style="bold", overflow="fold")
    for name in rows[0][1:shown]:
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows[1:]:
        table.add_row(*map(Text, row[:shown]), style="bold" if row is rows[-1] else None)
    console.print(table)
    if shown <= len(_COLUMNS):
        console.print(f"Too narrow for {', '.join(_COLUMNS[shown - 1 :])}")
    if view.groups_total > len(view.groups):
        console.print(f"{view.groups_total - len(view.groups)} more groups are not shown")
    for names, text in (*_alike(view.reasons), *_alike(view.basis)):
        console.print(Text(clean(f"{', '.join(names)}: {text}")))
    console.print(Text(clean(f"Rows: {view.database}")), style="dim")


def _fitting(rows: Sequence[Sequence[str]], width: int) -> int:
    """How many columns there is room for: half a figure would be a wrong one. Keys may be folded to `_KEY_WIDTH`."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    ends = accumulate((min(widths[0], _KEY_WIDTH), *(_GAP + column for column in widths[1:])))
    return max(1, sum(end <= width for end in ends))


def _cells(spent: SpentView) -> Iterator[str]:
    a, b = spent.saved["a"], spent.saved["b"]
    yield str(spent.calls)
    yield NONE if spent.raw_tokens is None else str(spent.raw_tokens)
    yield NONE if spent.billed_tokens is None else f"{spent.billed_tokens:.0f}"
    yield NONE if spent.cost_usd is None else f"{spent.cost_usd:.6f}"
    for share in (a.raw, a.billed, b.billed):
        yield NONE if share is None else f"{share:.1%}"
    yield NONE if a.tokens is None else str(a.tokens)


def _alike(told: Mapping[str, str]) -> Iterator[tuple[list[str], str]]:
    """Each text once, with all names that it is told of."""
    for text in dict.fromkeys(told.values()):
        yield [name for name, own in told.items() if own == text], text
