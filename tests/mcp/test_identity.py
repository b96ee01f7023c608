"""Who the server says it is."""

import base64
import struct
import zlib
from pathlib import Path
from xml.etree import ElementTree

from mcp_types import SERVER_INFO_META_KEY

from swarmtally.mcp.identity import ICONS
from tests.mcp.conftest import Mode, RawServer, in_memory, serve_command

HANDSHAKE_BYTES = 3_000


def decoded(number: int) -> bytes:
    head, _, content = ICONS[number].src.partition(",")
    assert head == f"data:{ICONS[number].mime_type};base64"
    return base64.b64decode(content)


async def test_a_client_of_either_era_is_shown_both_icons(tmp_path: Path, mode: Mode) -> None:
    async with in_memory(tmp_path, mode) as client:
        assert client.server_info is not None
        assert client.server_info.icons == ICONS


async def test_results_say_where_they_come_from_without_the_icons(tmp_path: Path) -> None:
    async with in_memory(tmp_path) as client:
        meta = (await client.list_tools()).meta
        assert meta is not None
        assert "icons" not in meta[SERVER_INFO_META_KEY]
        assert meta[SERVER_INFO_META_KEY]["name"] == "swarmtally"


def test_the_icons_are_images() -> None:
    assert ElementTree.fromstring(decoded(0)).tag == "{http://www.w3.org/2000/svg}svg"
    assert b"script" not in decoded(0)
    signature, name, width, height, bits, colours = struct.unpack_from(">8s4x4sIIBB", decoded(1))
    assert (signature, name, width, height) == (b"\x89PNG\r\n\x1a\n", b"IHDR", 96, 96)
    data = decoded(1).partition(b"IDAT")[2]
    assert (bits, colours, len(zlib.decompressobj().decompress(data))) == (2, 3, 96 * (1 + 96 * 2 // 8))


def test_the_handshake_is_short(tmp_path: Path) -> None:
    server = RawServer(serve_command(tmp_path), tmp_path)
    try:
        assert "serverInfo" in server.shake_hands()["result"]
        assert len(server.lines[0]) <= HANDSHAKE_BYTES
        server.hang_up()
        server.ends()
    finally:
        server.clean_up()
