"""Who the server says it is: name, title, version, icons.

The icons are an SVG, and a PNG of 96 pixels for clients that show no SVG. They travel as `data:` URIs, for a server on
standard input has no address to serve them from.
"""

from base64 import b64encode
from pathlib import Path
from typing import Any, cast

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp_types import SERVER_INFO_META_KEY, DiscoverResult, Icon, Implementation, RequestParams

NAME = "swarmtally"


def _icon(file: str, mime_type: str, size: str) -> Icon:
    content = b64encode(Path(__file__).with_name(file).read_bytes()).decode()
    return Icon(src=f"data:{mime_type};base64,{content}", mime_type=mime_type, sizes=[size])


ICONS = [_icon("icon.svg", "image/svg+xml", "any"), _icon("icon.png", "image/png", "96x96")]


class IntroducedServer(Server[Any]):
    """A server that shows its icons when a client makes its acquaintance, and not with each result.

    In the protocol of 2026 every result says which server it came from: in 60 bytes, and with icons in 950.
    """

    def __init__(self, name: str, **settings: Any) -> None:
        super().__init__(name, icons=ICONS, **settings)
        entry = self.get_request_handler("server/discover")
        assert entry is not None, "the SDK's server answers it"
        self._discover = entry.handler
        self.add_request_handler("server/discover", RequestParams, self._introduced)

    @property
    def server_info(self) -> Implementation:
        """What is stamped on each result."""
        return super().server_info.model_copy(update={"icons": None})

    async def _introduced(self, ctx: ServerRequestContext[Any, Any], params: RequestParams) -> DiscoverResult:
        result = cast("DiscoverResult", await self._discover(ctx, params))
        whole = super().server_info.model_dump(by_alias=True, mode="json", exclude_none=True)
        return result.model_copy(update={"meta": {SERVER_INFO_META_KEY: whole}})
