"""A model server on loopback with fixed answering times, and faults on request."""

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum


class Fault(Enum):
    """What becomes of the first call of each prompt, after its time."""

    DROPPED = "the connection is closed"
    UNREADABLE = "the answer has no choice"


@dataclass(frozen=True)
class Answers:
    """How the server answers."""

    took_s: float
    takes: int = 1_000
    """Calls at once beyond which it refuses."""
    longer: Mapping[str, float] = field(default_factory=dict)
    """Seconds of prompts that hold a text."""
    fault: Fault | None = None


@contextmanager
def model_server(answers: Answers) -> Iterator[str]:
    """Its base URL, for as long as the `with` lasts."""
    ready: list[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = []
    began = threading.Event()

    async def serve() -> None:
        stub, stop = _Stub(answers), asyncio.Event()
        server = await asyncio.start_server(stub.talk, "127.0.0.1", 0)
        ready.append((asyncio.get_running_loop(), stop, server.sockets[0].getsockname()[1]))
        began.set()
        await stop.wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    began.wait()
    loop, stop, port = ready[0]
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()


@dataclass
class _Stub:
    answers: Answers
    under_way: int = 0
    seen: set[bytes] = field(default_factory=set)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = next(line[15:] for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
                status, body = await self._answer(await reader.readexactly(int(length)))
                if not body:
                    break
                again = "Retry-After: 2\r\n" if status == 429 else ""
                kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
                writer.write(f"HTTP/1.1 {status} X\r\n{kind}{again}\r\n".encode() + body)
                await writer.drain()
        writer.close()

    async def _answer(self, prompt: bytes) -> tuple[int, bytes]:
        """The status and the body; an empty one: the connection is closed."""
        if self.under_way >= self.answers.takes:
            return 429, json.dumps({"error": {"message": "slow down", "type": "requests"}}).encode()
        first = prompt not in self.seen
        self.seen.add(prompt)
        self.under_way += 1
        longer = (seconds for text, seconds in self.answers.longer.items() if text.encode() in prompt)
        await asyncio.sleep(next(longer, self.answers.took_s))
        self.under_way -= 1
        fault = self.answers.fault if first else None
        choice = {"index": 0, "message": {"role": "assistant", "content": "Done."}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 100, "completion_tokens": 2, "total_tokens": 102}
        reply = {"id": "c", "object": "chat.completion", "created": 1, "model": "stub", "usage": usage}
        choices = [] if fault is Fault.UNREADABLE else [choice]
        return 200, b"" if fault is Fault.DROPPED else json.dumps({**reply, "choices": choices}).encode()
