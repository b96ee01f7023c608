"""What the SDK refuses with a status alone, or with words that do not say what to do, is told in one line that does."""

from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from swarmtally.mcp.bounds import Bounds


class Remedies:
    """The ASGI application around the SDK's.

    Args:
        path: what the server's URL ends in.
    """

    def __init__(self, app: ASGIApp, bounds: Bounds, path: str) -> None:
        self._app = app
        self._lines = {
            404: f"There is nothing here; the server's URL ends in {path}.",
            406: "Send the header Accept: application/json, text/event-stream; the answer is one of them.",
            413: f"The request's body is longer than {bounds.body_bytes:,} bytes; send less at once.",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, _Telling(self._lines, send).send)


@dataclass(slots=True)
class _Telling:
    """Sends on what is answered to one request."""

    lines: dict[int, str]
    to: Send
    held: Message | None = field(default=None)
    """The beginning of a refusal whose body is not there yet."""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] in (400, 404, 405, 406, 413):
            self.held = message
            return
        begun, self.held = self.held, None
        if begun is not None:
            line = self._line(begun, message)
            if line is not None:
                body = f"{line}\n".encode()
                kept = [(name, value) for name, value in begun["headers"] if name.lower() not in _OF_THE_BODY]
                length = (b"content-length", str(len(body)).encode())
                begun = {**begun, "headers": [*kept, length, (b"content-type", b"text/plain; charset=utf-8")]}
                message = {**message, "body": body}
            await self.to(begun)
        await self.to(message)

    def _line(self, begun: Message, message: Message) -> str | None:
        """What is said in place of the body; None where that is JSON, which has words of its own, or comes in parts."""
        body, status = message.get("body", b""), begun["status"]
        if message.get("more_body") or body.startswith(b"{"):
            return None
        if status == 405:
            return f"Use {Headers(raw=begun['headers']).get('allow', 'POST')} here."
        if body == b"Invalid Content-Type header":
            return "Send the header Content-Type: application/json."
        return self.lines.get(status)


_OF_THE_BODY = (b"content-length", b"content-type")
