"""Who the server says it is, and what it can: name, title, version, icons, capabilities.

The icons are an SVG, and a PNG of 96 pixels for clients that show no SVG. They travel as `data:` URIs, for a server on
standard input has no address to serve them from.
"""

from base64 import b64encode
from pathlib import Path
from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.models import InitializationOptions
from mcp_types import (
    SERVER_INFO_META_KEY,
    DiscoverResult,
    Icon,
    Implementation,
    RequestParams,
    ServerCapabilities,
)
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from swarmtally.version import __version__

NAME = "swarmtally"

WEBSITE = "https://pypi.org/project/swarmtally/"
"""The package's page, from when it is published: the one address that goes with its name."""


def _icon(file: str, mime_type: str, size: str) -> Icon:
    content = b64encode(Path(__file__).with_name(file).read_bytes()).decode()
    return Icon(src=f"data:{mime_type};base64,{content}", mime_type=mime_type, sizes=[size])


ICONS = [_icon("icon.svg", "image/svg+xml", "any"), _icon("icon.png", "image/png", "96x96")]


class IntroducedServer(Server[Any]):
    """A server that says who it is, and what it can, where the SDK's own would say too much or too little."""

    def __init__(self, **handlers: Any) -> None:
        super().__init__(NAME, version=__version__, title=NAME, website_url=WEBSITE, icons=ICONS, **handlers)
        self.add_request_handler("server/discover", RequestParams, self._discover)

    @property
    def server_info(self) -> Implementation:
        """What is stamped on each result: in the protocol of 2026 each says which server it came from, in 60 bytes, and
        with icons in 950. They are shown when a client makes the server's acquaintance."""
        return super().server_info.model_copy(update={"icons": None, "website_url": None})

    async def _discover(self, ctx: ServerRequestContext[Any, Any], _params: RequestParams) -> DiscoverResult:
        whole = super().server_info.model_dump(by_alias=True, mode="json", exclude_none=True)
        return DiscoverResult(
            # The SDK's own answer leaves out the versions that begin with a handshake, which are served as well.
            supported_versions=[*MODERN_PROTOCOL_VERSIONS, *reversed(HANDSHAKE_PROTOCOL_VERSIONS)],
            capabilities=self.get_capabilities(protocol_version=ctx.protocol_version),
            instructions=self.instructions,
            _meta={SERVER_INFO_META_KEY: whole},
        )

    def create_initialization_options(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
    ) -> InitializationOptions:
        changing = notification_options or NotificationOptions(resources_changed=True)
        return super().create_initialization_options(changing, experimental_capabilities, extensions)

    def get_capabilities(
        self,
        notification_options: NotificationOptions | None = None,
        experimental_capabilities: dict[str, dict[str, Any]] | None = None,
        extensions: dict[str, dict[str, Any]] | None = None,
        *,
        protocol_version: str | None = None,
    ) -> ServerCapabilities:
        found = super().get_capabilities(
            notification_options, experimental_capabilities, extensions, protocol_version=protocol_version
        )
        if protocol_version in MODERN_PROTOCOL_VERSIONS:
            # The SDK takes all lists to change where streams are served. Ours of tools and prompts do not.
            for fixed in (found.tools, found.prompts):
                if fixed is not None:
                    fixed.list_changed = False
        return found
