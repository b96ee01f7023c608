"""A real HTTP server on loopback that speaks OpenAI's chat completions, as scripted; scripts may speak otherwise.

    with OpenAIWire() as wire:
        wire.script(failure(503), answer("done"))
        ... call wire.base_url twice ...
        assert wire.requests[0].body["max_tokens"] == 10

It lives in its own thread with its own loop, so code under test may block, and processes may call it.
"""

import asyncio
import hashlib
import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

WAIT_S = 10.0
"""How long a test waits for something that must happen."""

Cut = Literal["never", "before", "within"]


class Hold:
    """Keeps an answer back until it is released."""

    def __init__(self) -> None:
        self._released = threading.Event()

    def release(self) -> None:
        self._released.set()

    @property
    def released(self) -> bool:
        return self._released.is_set()


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back. `body` None stands for the default answer; `cut` closes the connection early."""

    status: int = 200
    body: bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    hold: Hold | None = None
    cut: Cut = "never"


@dataclass(frozen=True, slots=True)
class Received:
    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def user_text(self) -> str:
        return str(self.body["messages"][-1]["content"])


def completion(text: str | None, usage: Mapping[str, Any] | None, finish_reason: str = "stop") -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish_reason}
    reply: dict[str, Any] = {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "wire",
        "choices": [choice],
    }
    return json.dumps(reply if usage is None else {**reply, "usage": usage}).encode()


def tokens(prompt: int, output: int, *, cached: int | None = None, reasoning: int | None = None) -> dict[str, Any]:
    """A usage object; details are there only when given."""
    usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
    if cached is not None:
        usage["prompt_tokens_details"] = {"cached_tokens": cached}
    if reasoning is not None:
        usage["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    return usage


def answer(text: str | None, usage: Mapping[str, Any] | None = None, finish_reason: str = "stop") -> Answer:
    """A normal answer, with the usage object `tokens` makes or with none."""
    return Answer(body=completion(text, usage, finish_reason))


def held(hold: Hold) -> Answer:
    """The default answer, once `hold` is released."""
    return Answer(hold=hold)


def anthropic_answer(text: str, **used: int) -> Answer:
    """As Anthropic's messages say it; see `_anthropic` for what may be used."""
    return _anthropic([{"type": "text", "text": text}], "end_turn", **used)


def anthropic_call(arguments: Mapping[str, Any], said: str = "", **used: int) -> Answer:
    """The same, when the model calls the tool."""
    text = [{"type": "text", "text": said}] if said else []
    call = {"type": "tool_use", "id": "toolu_1", "name": "read_part", "input": arguments}
    return _anthropic([*text, call], "tool_use", **used)


def _anthropic(
    content: list[dict[str, Any]],
    stop_reason: str,
    input_tokens: int = 9,
    output_tokens: int = 1,
    read: int = 0,
    written: int = 0,
) -> Answer:
    cached = {"cache_read_input_tokens": read, "cache_creation_input_tokens": written}
    usage = {"input_tokens": input_tokens, "output_tokens": output_tokens, **cached}
    reply = {"id": "m1", "type": "message", "role": "assistant", "model": "wire", "content": content}
    return Answer(body=json.dumps({**reply, "stop_reason": stop_reason, "usage": usage}).encode())


def responses_answer(text: str) -> Answer:
    """As OpenAI's responses say it."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return _responses({"type": "message", "id": "o1", "role": "assistant", "status": "completed", "content": content})


def responses_call(arguments: Mapping[str, Any]) -> Answer:
    """The same, when the model calls the tool."""
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "read_part", "status": "completed"}
    return _responses({**call, "arguments": json.dumps(arguments)})


def _responses(item: Mapping[str, Any]) -> Answer:
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    usage = {"input_tokens": 9, "output_tokens": 1, "total_tokens": 10, **details}
    reply = {"id": "r1", "object": "response", "created_at": 1, "model": "wire", "status": "completed"}
    tools = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
    return Answer(body=json.dumps({**reply, **tools, "output": [item], "usage": usage}).encode())


def failure(status: int, error: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None) -> Answer:
    body = {"error": error or {"message": f"scripted {status}", "type": "scripted", "code": None}}
    return Answer(status, json.dumps(body).encode(), headers or {})


def rate_limited(retry_after_s: int) -> Answer:
    error = {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}
    return failure(429, error, {"Retry-After": str(retry_after_s)})


def out_of_quota() -> Answer:
    return failure(429, {"message": "no money", "type": "insufficient_quota", "code": "insufficient_quota"})


def context_exceeded() -> Answer:
    """As OpenAI says it."""
    error = {"message": "maximum context length is 8192 tokens", "code": "context_length_exceeded", "param": "messages"}
    return failure(400, {**error, "type": "invalid_request_error"})


def context_exceeded_llama() -> Answer:
    """As llama.cpp says it."""
    message = "request (9031 tokens) exceeds the available context size (8192 tokens), try increasing it"
    error = {"code": 400, "message": message, "type": "exceed_context_size_error"}
    return failure(400, {**error, "n_prompt_tokens": 9031, "n_ctx": 8192})


def malformed() -> Answer:
    return Answer(body=b'{"id": "c1", "choices": [')


def truncated() -> Answer:
    """Half of the body, then a closed connection."""
    return Answer(cut="within")


def dropped() -> Answer:
    """A closed connection in place of an answer."""
    return Answer(cut="before")


def empty(usage: Mapping[str, Any] | None = None, finish_reason: str = "stop") -> Answer:
    return answer("", usage, finish_reason)


def default_text(user_text: str) -> str:
    """What the default answer says: always the same for the same prompt."""
    digest = hashlib.sha256(user_text.encode()).hexdigest()[:8]
    return f"Answer {digest}: {' '.join(user_text.split())[:60]}"


class OpenAIWire:
    """The server. Answers are used in the order they were scripted, then the default one for ever."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.respond: Callable[[Received], Answer] | None = None
        """What answers once the script is over, in place of the default answer."""
        self._script: deque[Answer] = deque()
        self._changed = threading.Condition()
        self._disconnects = 0
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="openai-wire", daemon=True)
        self._port = 0

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def script(self, *answers: Answer) -> None:
        with self._changed:
            self._script.extend(answers)

    def wait_for_requests(self, count: int) -> None:
        """Block until `count` requests have arrived in all."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.requests) >= count, WAIT_S):
                raise TimeoutError(f"{len(self.requests)} of {count} requests arrived")

    def wait_for_disconnects(self, count: int) -> None:
        """Block until `count` clients have left while their answer was held."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._disconnects >= count, WAIT_S):
                raise TimeoutError(f"{self._disconnects} of {count} clients disconnected")

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(WAIT_S):
            raise TimeoutError("the wire did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(WAIT_S)

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        connections: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            connections.add(task)
            try:
                await self._converse(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass  # the client left, or the test is over
            finally:
                connections.discard(task)
                writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=1 << 24)
        self._port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._end.wait()
        server.close()
        pending = tuple(connections)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await _read_request(reader)
            with self._changed:
                self.requests.append(request)
                respond = self.respond or (lambda request: Answer())
                scripted = self._script.popleft() if self._script else respond(request)
                self._changed.notify_all()
            if scripted.hold is not None and not await self._held(scripted.hold, reader):
                return
            body = scripted.body if scripted.body is not None else _default_body(request)
            if scripted.cut == "before":
                return
            writer.write(_head(scripted, len(body)))
            writer.write(body if scripted.cut == "never" else body[: len(body) // 2])
            await writer.drain()
            if scripted.cut == "within":
                return

    async def _held(self, hold: Hold, reader: asyncio.StreamReader) -> bool:
        """Whether the hold was released while the client was still there."""
        while not hold.released:
            try:
                gone = await asyncio.wait_for(reader.read(1), 0.01) == b""
            except TimeoutError:
                continue
            if gone:
                with self._changed:
                    self._disconnects += 1
                    self._changed.notify_all()
                return False
        return True


async def _read_request(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Received(first.split()[1], headers, json.loads(body) if body else {})


def _default_body(request: Received) -> bytes:
    text = default_text(request.user_text) if request.body.get("messages") else ""
    sent = sum(len(str(message["content"])) for message in request.body.get("messages", ()))
    return completion(text, tokens(max(1, sent // 4), max(1, len(text) // 4)))


def _head(scripted: Answer, length: int) -> bytes:
    fields = {"Content-Type": "application/json", "Content-Length": str(length), **scripted.headers}
    lines = [f"HTTP/1.1 {scripted.status} Scripted", *(f"{name}: {value}" for name, value in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
