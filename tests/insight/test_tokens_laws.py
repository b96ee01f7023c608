"""What calls used, cost and saved is plain arithmetic over their rows, whatever they are and in whatever order."""

import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import anyio
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from swarmtally.domain.run import RunKind
from swarmtally.insight.tokens import Spent
from swarmtally.store.tokens import CACHE_NS, Group
from tests.insight.calls import UNKNOWN, UNPRICED, a_call, a_run, a_task, counted, past
from tests.insight.history import NOW_NS, Given


class Random:
    """Random calls of two projects, three swarms and four runs."""

    def __init__(self, draw: random.Random) -> None:
        self.history = past("p", "q")
        self.history.swarm("s_2", "p")
        self.runs: dict[str, Given] = {}
        self.modes: dict[str, str] = {}
        self.calls: list[Given] = []
        for number in range(4):
            run_id, project = f"r{number}", "q" if number == 3 else "p"
            kind, swarm_id = draw.choice(["batch", "pipeline"]), draw.choice(["s_p", "s_2"])
            self.runs[run_id] = {"project": project, "kind": kind, "swarm_id": swarm_id}
            a_run(self.history, run_id, **self.runs[run_id])
            for task in range(3):
                self.modes[f"{run_id}t{task}"] = mode = draw.choice(["coder", "tester"])
                a_task(self.history, f"{run_id}t{task}", run_id, mode)
            priced, steady = draw.random() < 0.8, draw.random() < 0.7
            for _ in range(draw.randint(0, 7)):
                self._call(draw, run_id, priced, steady)

    def _call(self, draw: random.Random, run_id: str, priced: bool, steady: bool) -> None:
        given: Given = {
            "agent_id": draw.choice("ab"),
            "model": draw.choice(["m", "n"]),
            "input_tokens": draw.randint(1, 1_000),
            "output_tokens": draw.randint(0, 100),
            "cache_read_tokens": draw.choice([None, 0, 1]),
            "cache_write_tokens": draw.choice([None, 0, 1]),
            "prompt_bytes": draw.randint(0, 4_000),
            "baseline_bytes": draw.choice([None, 500, 9_000]),
            "baseline_shared_bytes": draw.randint(0, 500),
            "delivered": draw.randint(0, 1),
            "cache_read_weight": 0.1 if steady else None,
        }
        if not priced and draw.random() < 0.5:
            given |= UNPRICED
        if not steady and draw.random() < 0.3:
            given |= UNKNOWN
        second = draw.choice([0, 60, 300, 301, 600, draw.random() * 2_000])
        if draw.random() < 0.05:
            given |= {"closed_ns": NOW_NS + 1}
        a_call(self.history, run_id, f"{run_id}t{draw.randint(0, 2)}", second, **given)
        self.calls.append(self.history.rows[-1][1])


def key_of(call: Given, group: Group, past: Random) -> str:
    return {
        Group.OPERATION: past.runs[call["run_id"]]["kind"],
        Group.AGENT: call["agent_id"],
        Group.MODE: past.modes[call["task_id"]],
        Group.MODEL: call["model"],
        Group.RUN: call["run_id"],
        Group.DAY: "2023-11-14",
    }[group]


def known(call: Given) -> bool:
    return call["input_tokens"] is not None and call["closed_ns"] <= NOW_NS


def based(call: Given) -> bool:
    return known(call) and bool(call["delivered"]) and call["baseline_bytes"] is not None


def billed(call: Given) -> float:
    read, written = call["cache_read_tokens"] or 0, call["cache_write_tokens"] or 0
    fresh = call["input_tokens"] - read - written
    return float(fresh + 0.1 * read + 1.25 * written + call["output_weight"] * call["output_tokens"])


def separate(call: Given, requests: Sequence[Given]) -> tuple[float, float, float]:
    """What a separate request would have used: raw, billed, and billed with a cache. `requests` are all of its run."""
    per_byte = call["input_tokens"] / max(1, call["prompt_bytes"])
    whole, shared = per_byte * call["baseline_bytes"], per_byte * call["baseline_shared_bytes"]
    order = (call["opened_ns"], call["task_id"])
    earlier = [
        other["opened_ns"]
        for other in requests
        if other["model"] == call["model"] and (other["opened_ns"], other["task_id"]) < order
    ]
    warm = bool(earlier) and call["opened_ns"] - max(earlier) <= CACHE_NS
    output = (call["output_weight"] or 0) * call["output_tokens"]
    cached = whole - shared + shared * (0.1 if warm else 1.25)
    return whole + call["output_tokens"], whole + output, cached + output


def one_of(runs: Iterable[str], calls: Sequence[Given], group: Sequence[Given], kind: str) -> tuple[object, object]:
    """(value, n) of the share saved, `kind` raw, billed or cached, of `group`, some of all `calls`."""
    ours, theirs, n = 0.0, 0.0, 0
    for run_id in runs:
        mine = [call for call in calls if call["run_id"] == run_id]
        requests = [call for call in mine if based(call)]
        enough = bool(requests) and all(map(known, mine))
        if kind != "raw":
            enough = enough and all(call["output_weight"] is not None for call in mine)
        if kind == "cached":
            enough = enough and all(call["cache_read_weight"] is not None for call in requests)
        here = [call for call in mine if call in group]
        if not enough or not here:
            continue
        n += 1
        ours += sum(call["input_tokens"] + call["output_tokens"] if kind == "raw" else billed(call) for call in here)
        place = ("raw", "billed", "cached").index(kind)
        theirs += sum(separate(call, requests)[place] for call in here if based(call))
    return (pytest.approx(1 - ours / theirs, rel=1e-9, abs=1e-9) if theirs else None), n


def check(found: Spent, past: Random, calls: Sequence[Given], group: Sequence[Given]) -> None:
    whole = [call for call in group if known(call)]
    priced = [call for call in whole if call["output_weight"] is not None]
    assert found.calls == len(group)
    raw = sum(call["input_tokens"] + call["output_tokens"] for call in whole)
    assert (found.raw_tokens.value, found.raw_tokens.n) == (raw if whole else None, len(whole))
    cost = sum(call["cost_nanousd"] for call in priced) / 1e9
    assert (found.cost_usd.value, found.cost_usd.n) == (cost if priced else None, len(priced))
    weighed = pytest.approx(sum(map(billed, priced))) if priced else None
    assert (found.billed_tokens.value, found.billed_tokens.n) == (weighed, len(priced))
    a, b = found.saved["a"], found.saved["b"]
    for figure, kind in ((a.raw, "raw"), (a.billed, "billed"), (b.billed, "cached")):
        assert (figure.value, figure.n) == one_of(past.runs, calls, group, kind), kind
        assert figure.value is not None or figure.reason
    assert (b.raw, b.tokens) == (a.raw, a.tokens)


@settings(max_examples=30, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(
    draw=st.integers(0, 2**32).map(random.Random),
    group=st.sampled_from(Group),
    swarm_id=st.sampled_from((None, "s_2")),
    kind=st.sampled_from((None, RunKind.BATCH)),
)
def test_figures_are_plain_arithmetic_over_the_rows_asked_for_in_whatever_order(
    draw: random.Random, group: Group, swarm_id: str | None, kind: RunKind | None, empty: Path
) -> None:
    made = Random(draw)
    calls = [
        call
        for call in made.calls
        for run in (made.runs[call["run_id"]],)
        if run["project"] == "p" and swarm_id in (None, run["swarm_id"]) and kind in (None, run["kind"])
    ]
    found = anyio.run(lambda: counted(made.history, empty, swarm_id=swarm_id, kind=kind, group=group))
    check(found.whole, made, calls, calls)
    assert set(found.groups) == {key_of(call, group, made) for call in calls}
    for key, spent_here in found.groups.items():
        check(spent_here, made, calls, [call for call in calls if key_of(call, group, made) == key])
    usage = [row for row in made.history.rows if row[0] == "usage"]
    draw.shuffle(usage)
    made.history.rows = [row for row in made.history.rows if row[0] != "usage"] + usage
    again = anyio.run(lambda: counted(made.history, empty, swarm_id=swarm_id, kind=kind, group=group))
    check(again.whole, made, calls, calls)
