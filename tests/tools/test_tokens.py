"""Token usage as its callers get it."""

from pathlib import Path
from typing import Any

import pytest

from swarmtally.app import App
from swarmtally.domain.errors import InvalidInput, NotFound
from swarmtally_tools.tokens import TokensView, token_usage
from tests.tools.test_performance import app_over


async def counted(app: App, **given: Any) -> TokensView:
    view = await token_usage.call(app, given)
    assert isinstance(view, TokensView)
    return view


async def test_on_a_fresh_database_every_figure_is_null_with_its_reason(tmp_path: Path) -> None:
    async with app_over(tmp_path) as app:
        for operation in ("all", "run", "batch", "pipeline", "concurrent"):
            view = await counted(app, operation=operation)
            assert (view.calls, view.groups, view.groups_total, view.basis) == (0, [], 0, {})
            assert (view.raw_tokens, view.billed_tokens, view.cost_usd) == (None, None, None)
            for saving in view.saved.values():
                assert set(saving.model_dump().values()) == {None}
            assert set(view.n.values()) == {0}
            assert set(view.reasons) == set(view.n)
            assert all(view.reasons.values())


async def test_what_means_nothing_is_refused(tmp_path: Path) -> None:
    async with app_over(tmp_path) as app:
        with pytest.raises(NotFound, match="no swarm 's_x'"):
            await counted(app, swarm_id="s_x")
        for given in ({"operation": "queue"}, {"group_by": "hour"}, {"timeframe": "soon"}, {"as_of": "2999-01-01"}):
            with pytest.raises(InvalidInput):
                await counted(app, **given)
