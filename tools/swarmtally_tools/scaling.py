"""The size of a swarm."""

import json
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from swarmtally.app import App
from swarmtally.core.adapting import Adapted, Sized
from swarmtally.core.scaling import Scaled
from swarmtally.core.sizing import UTILISATION
from swarmtally.core.swarms import LISTED
from swarmtally.domain.clock import NS_PER_S, iso
from swarmtally.domain.swarm import MAX_AGENTS_LIMIT, NAME_LIMIT, Strategy
from swarmtally.domain.text import one_line
from swarmtally_tools.definition import Tool, View, that_fit, tool

NEEDS_BYTES = 25_000
"""The most that the needs of one answer take; a role's name alone may take 600."""

ROLES_BYTES = 10_000
"""The same of its roles."""

NEEDED_CHARACTERS = 2_000
"""How much is said of why needs are not known."""


class NeedView(View):
    role: str | None
    """The role it is about; null: the whole swarm, whose agents take each other's tasks."""
    agents: int
    """Agents that stayed before."""
    busy: int
    """Of those, at work."""
    arrivals: int
    """Times a task became ready in the window; one tried again counts again."""
    window_s: float
    """What they are spread over: from the swarm's first of the last 15 min, at least 60 s and one service_s."""
    arrivals_per_s: float | None
    """arrivals / window_s; null without any load."""
    service_s: float | None
    """Mean time from claim to commit; attempts under way count as at least as long as so far (Kaplan-Meier)."""
    ended: int
    """Attempts behind it that succeeded or failed in the last 15 min (the newest 10,000 of all roles)."""
    under_way: int
    """Attempts behind it that have not ended."""
    backlog: int
    """Ready tasks that wait for any agent."""
    horizon_s: float
    """What the backlog shall be served within: 60 s, or one service_s where that is longer."""
    needed: int | None
    """(arrivals_per_s + backlog / horizon_s) * service_s / utilisation, rounded up, at most at_once and best, at least
    busy."""
    pays: int | None
    """Without a load: what history recommends."""
    size: int
    """Agents meant to stay: needed, else pays, else as before; within target_size and, of all roles, best."""
    reason: str | None
    """Why a figure is null, or needed is less than the load needs."""


class ScaledView(View):
    swarm_id: str
    """The swarm."""
    strategy: str
    """fixed or adaptive."""
    target_size: int
    """What was asked for: the size itself (fixed), or the most it may be (adaptive)."""
    size_before: int | None
    """Agents that stayed before; null for fixed."""
    size: int
    """Agents in it now, leaving ones too."""
    added: list[str]
    """New agents' ids, at most 100."""
    kept: int
    """Agents that were leaving and stay."""
    left: int
    """Agents that left now."""
    leaving: int
    """Agents that leave when their task is done."""
    roles: dict[str, int]
    """How many of each role, leaving ones too; the most common ones, as many as fit."""
    max_agents: int
    """The most it may hold."""
    note: str | None
    """What else was changed for it, and what is left to do."""
    needed: int | None
    """Agents the load needs, were there no target_size; null when some need is."""
    utilisation: float | None
    """Share of their time agents shall work; null for fixed."""
    at_once: int | None
    """Calls the swarm's backends take at once."""
    best: int | None
    """Beyond it throughput falls, by the project's history, read just before the load was measured; null where that
    does not tell, and for fixed."""
    n: dict[str, int]
    """Runs that best rests on."""
    needs: list[NeedView]
    """What it follows from: one for the swarm, or one for each role of a specialized one; at most 100 and as
    many as fit."""
    as_of: str | None
    """When the load was measured, UTC; null for fixed."""
    reasons: dict[str, str]
    """Why a figure is null, or the size is not what is needed."""


class ScaleStrategy(StrEnum):
    FIXED = "fixed"
    ADAPTIVE = "adaptive"


@tool(title="Grow or drain a swarm", idempotent=True)
async def swarm_scale(
    app: App,
    target_size: Annotated[int, Field(description="Agents that stay; adaptive: at most", ge=0, le=MAX_AGENTS_LIMIT)],
    strategy: Annotated[
        ScaleStrategy, Field(description="fixed: exactly target_size; adaptive: what the load needs")
    ] = ScaleStrategy.FIXED,
    type: Annotated[  # noqa: A002 - the name users know
        str | None,
        Field(description="Role to add or drain first; omitted: the most common", min_length=1, max_length=NAME_LIMIT),
    ] = None,
    swarm_id: Annotated[str | None, Field(description="The swarm; omitted: the current one", max_length=100)] = None,
) -> ScaledView:
    """Bring a swarm to target_size agents, or (adaptive) to what its measured load needs, at most target_size; without
    load to what history recommends. Gives the figures used. A busy agent finishes its task before it leaves, so nothing
    is lost. Raises max_agents to a larger target_size. Runs may still add agents they need, up to max_agents."""
    if strategy is ScaleStrategy.ADAPTIVE:
        known = await app.experience()
        return _adapted_view(target_size, await app.swarms.adapt(target_size, type, swarm_id, known))
    return _scaled_view(target_size, await app.swarms.scale(target_size, type, swarm_id))


def _scaled_view(target: int, scaled: Scaled) -> ScaledView:
    raised = scaled.swarm.max_agents > scaled.max_agents_before
    unmeasured = "strategy fixed measures nothing"
    roles = _most_common(scaled.roles)
    reasons = dict.fromkeys(("size_before", "needed", "utilisation", "at_once", "best", "as_of"), unmeasured)
    return ScaledView(
        swarm_id=scaled.swarm.swarm_id,
        strategy=ScaleStrategy.FIXED,
        target_size=target,
        size_before=None,
        size=scaled.size,
        added=[agent.agent_id for agent in scaled.added[:LISTED]],
        kept=scaled.kept,
        left=scaled.left,
        leaving=scaled.leaving,
        roles=roles,
        max_agents=scaled.swarm.max_agents,
        note=f"max_agents was raised from {scaled.max_agents_before} to {scaled.swarm.max_agents}" if raised else None,
        needed=None,
        utilisation=None,
        at_once=None,
        best=None,
        n={},
        needs=[],
        as_of=None,
        reasons=reasons | _left_out(roles, scaled.roles),
    )


def _most_common(roles: Mapping[str, int]) -> dict[str, int]:
    """As many of the most common roles, those of one number by name, as fit."""
    room = ROLES_BYTES
    shown = {}
    for role, count in sorted(roles.items(), key=lambda item: (-item[1], item[0])):
        room -= len(json.dumps({role: count}, ensure_ascii=False).encode())
        if room < 0:
            break
        shown[role] = count
    return shown


def _left_out(shown: Mapping[str, int], roles: Mapping[str, int]) -> dict[str, str]:
    if len(shown) == len(roles):
        return {}
    return {"roles": f"the {len(shown)} most common of {len(roles)} roles fit"}


def _adapted_view(target: int, adapted: Adapted) -> ScaledView:
    view = _scaled_view(target, adapted.scaled)
    notes = [view.note] if view.note else []
    if adapted.not_yet:
        notes.append(f"{adapted.not_yet} more can join when those leaving have left: call again")
    swarm = adapted.scaled.swarm
    if swarm.strategy is not Strategy.SPECIALIZED and swarm.max_agents > view.size:
        notes.append(f"runs whose tasks wait may add agents up to max_agents, {swarm.max_agents}")
    return view.model_copy(
        update={
            "strategy": ScaleStrategy.ADAPTIVE,
            "size_before": adapted.size_before,
            "note": "; ".join(notes) or None,
            "needed": adapted.needed,
            "utilisation": float(UTILISATION),
            "at_once": adapted.at_once,
            "best": adapted.experience.best if adapted.experience else None,
            "n": {"best": adapted.experience.rows} if adapted.experience and adapted.experience.rows else {},
            "needs": that_fit([_need_view(each) for each in adapted.sized[:LISTED]], NEEDS_BYTES),
            "as_of": iso(adapted.as_of_ns),
            "reasons": _reasons(target, adapted) | _left_out(view.roles, adapted.scaled.roles),
        }
    )


def _need_view(sized: Sized) -> NeedView:
    need, load = sized.need, sized.need.load
    return NeedView(
        role=load.role,
        agents=load.agents,
        busy=load.busy,
        arrivals=load.arrivals,
        window_s=need.window_ns / NS_PER_S,
        arrivals_per_s=None if load.none else load.arrivals * NS_PER_S / need.window_ns,
        service_s=None if need.service_ns is None else need.service_ns / NS_PER_S,
        ended=len(load.ended),
        under_way=len(load.under_way),
        backlog=load.backlog,
        horizon_s=need.horizon_ns / NS_PER_S,
        needed=need.needed,
        pays=need.pays,
        size=sized.size,
        reason=need.reason,
    )


def _reasons(target: int, adapted: Adapted) -> dict[str, str]:
    reasons = {}
    if adapted.needed is None:
        unknown = [each.need for each in adapted.sized if each.need.needed is None]
        whose = [f"{need.load.role}: {need.reason}" if need.load.role else str(need.reason) for need in unknown]
        told = one_line("; ".join(whose[:LISTED]), NEEDED_CHARACTERS)
        reasons["needed"] = told or "the swarm has no agents and no load yet"
        reasons["size"] = _size_unknown(adapted)
    if adapted.at_once is None:
        reasons["at_once"] = "no run of the last 15 min, or one whose backend has no limit or has not been used yet"
    if adapted.experience is None or adapted.experience.best is None:
        reasons["best"] = adapted.experience.told if adapted.experience else "nobody asked history"
    if any(each.size < each.need.wanted for each in adapted.sized):
        wanted = sum(each.need.wanted for each in adapted.sized)
        reasons["size"] = f"target_size limits it to {target} of {wanted}"
        if adapted.places is not None and adapted.places < target and adapted.experience:
            falls = f"beyond {adapted.experience.best} agents throughput falls: {adapted.experience.told}"
            reasons["size"] = f"{adapted.places} of {wanted}, since {falls}"
    return reasons


def _size_unknown(adapted: Adapted) -> str:
    """Why the size is what it is where a need is not known."""
    if any(each.need.pays is not None for each in adapted.sized):
        return "what pays by history, as there is no load yet"
    return "as before where the need is not known, but at least 1 where there is work"


TOOLS: tuple[Tool, ...] = (swarm_scale,)
