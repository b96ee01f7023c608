"""1,000 tasks at once that do nothing, in one peer: `python null_tasks.py PEER TASKS ROUNDS`, one JSON line a round.

It runs in the peers' own virtual environment and imports nothing of ours. Each peer is used as its documents say and
at its best: asynchronous, nothing stored, traced, logged or sent home; what can be made before is not timed."""

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Annotated, Any, TypedDict

os.environ |= {
    "AUTOGEN_DISABLE_RUNTIME_TRACING": "true",
    "AGNO_TELEMETRY": "false",
    "LANGSMITH_TRACING": "false",
    "LANGCHAIN_TRACING_V2": "false",
}

Wave = Callable[[], Awaitable[list[str]]]
"""Does as many tasks as it was made for, all at once, and returns what each delivered."""


async def langgraph(tasks: int) -> dict[str, Wave]:
    """A task is one run of a compiled graph of one node, or one node of a graph that sends itself all tasks."""
    import operator

    from langgraph.graph import END, START, StateGraph
    from langgraph.types import Send

    class One(TypedDict):
        text: str

    class All(TypedDict):
        texts: list[str]
        done: Annotated[list[str], operator.add]

    async def node(state: One) -> One:
        return {"text": state["text"]}

    async def part(state: One) -> dict[str, list[str]]:
        return {"done": [state["text"]]}

    single = StateGraph(One)
    single.add_node("node", node)
    single.add_edge(START, "node")
    single.add_edge("node", END)
    one = single.compile()

    fan = StateGraph(All)
    fan.add_node("part", part)
    fan.add_conditional_edges(START, lambda state: [Send("part", {"text": text}) for text in state["texts"]], ["part"])
    fan.add_edge("part", END)
    every = fan.compile()

    async def runs() -> list[str]:
        return [state["text"] for state in await asyncio.gather(*(one.ainvoke({"text": "text"}) for _ in range(tasks)))]

    async def sends() -> list[str]:
        found = await every.ainvoke({"texts": ["text"] * tasks, "done": []}, {"recursion_limit": 10})
        return list(found["done"])

    return {"LangGraph, a run each": runs, "LangGraph, a node each (Send)": sends}


async def autogen(tasks: int) -> dict[str, Wave]:
    """A task is one message sent to an agent of its own, and its answer; the agents are there before."""
    from dataclasses import dataclass

    from autogen_core import AgentId, MessageContext, RoutedAgent, SingleThreadedAgentRuntime, message_handler

    @dataclass
    class Work:
        text: str

    class Null(RoutedAgent):
        def __init__(self) -> None:
            super().__init__("does nothing")

        @message_handler
        async def work(self, message: Work, ctx: MessageContext) -> Work:
            return message

    runtime = SingleThreadedAgentRuntime(ignore_unhandled_exceptions=False)
    await Null.register(runtime, "null", Null)
    runtime.start()
    addresses = [AgentId("null", str(number)) for number in range(tasks)]

    async def sent() -> list[str]:
        answers = await asyncio.gather(*(runtime.send_message(Work("text"), address) for address in addresses))
        return [answer.text for answer in answers]

    return {"AutoGen-core, a message each": sent}


async def agno(tasks: int) -> dict[str, Wave]:
    """A task is one run of an agent of its own with a model that answers at once, or one function as a step of a
    workflow that runs all of them in parallel, without an agent; the agents and steps are there before."""
    from agno.agent import Agent
    from agno.models.base import Model
    from agno.models.response import ModelResponse
    from agno.workflow import Parallel, Step, StepInput, StepOutput, Workflow

    class Null(Model):
        def invoke(self, *given: Any, **named: Any) -> ModelResponse:
            return ModelResponse(role="assistant", content="text")

        async def ainvoke(self, *given: Any, **named: Any) -> ModelResponse:
            return ModelResponse(role="assistant", content="text")

        def invoke_stream(self, *given: Any, **named: Any) -> Iterator[ModelResponse]:
            raise NotImplementedError

        def ainvoke_stream(self, *given: Any, **named: Any) -> AsyncIterator[ModelResponse]:
            raise NotImplementedError

        def _parse_provider_response(self, response: Any, **named: Any) -> ModelResponse:
            return response

        def _parse_provider_response_delta(self, response: Any) -> ModelResponse:
            return response

    agents = [Agent(model=Null(id="null"), telemetry=False) for _ in range(tasks)]

    async def work(given: StepInput) -> StepOutput:
        return StepOutput(content=given.input)

    steps = (Step(name=f"step {number}", executor=work) for number in range(tasks))
    workflow = Workflow(name="null", steps=[Parallel(*steps, name="all")], telemetry=False)

    async def runs() -> list[str]:
        return [str(answer.content) for answer in await asyncio.gather(*(agent.arun("text") for agent in agents))]

    async def stepped() -> list[str]:
        (both,) = (await workflow.arun(input="text")).step_results
        return [str(answer.content) for answer in both.steps]

    return {"Agno, an agent's run each": runs, "Agno, a function each (Workflow)": stepped}


async def bare(tasks: int) -> dict[str, Wave]:
    """A task is one coroutine in an asyncio task of its own."""

    async def work(text: str) -> str:
        await asyncio.sleep(0)
        return text

    async def gathered() -> list[str]:
        return list(await asyncio.gather(*(work("text") for _ in range(tasks))))

    return {"bare asyncio": gathered}


PEERS = {"langgraph": langgraph, "autogen": autogen, "agno": agno, "asyncio": bare}


async def main(peer: str, tasks: int, rounds: int) -> None:
    waves = await PEERS[peer](tasks)
    for number in range(rounds + 1):
        for name, wave in waves.items():
            gc.collect()
            started = time.perf_counter()
            done = await wave()
            elapsed = time.perf_counter() - started
            if done != ["text"] * tasks:
                raise SystemExit(f"{name} did not do its tasks: {done[:3]}")
            if number:  # the first wave makes what later ones find made
                print(json.dumps({"name": name, "s": elapsed / tasks}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
