"""Names that people give: something can be seen of them, and nothing steers a terminal or turns the writing round."""

from collections.abc import Mapping
from pathlib import Path

import anyio.to_thread
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally.domain.errors import InvalidInput
from swarmtally.domain.swarm import Strategy, Topology
from swarmtally.domain.text import checked_name
from swarmtally.settings import Settings
from tests.core.harness import swarmed

WRONG = [
    "   ", " \n", "\t", "\u200b", "a\0b", "\x1b[31mred", "a\nb", "a\x85b", "a\u2028b", "txt\u202efdp.exe", "\u2066x",
    "\u200fx",
]  # fmt: skip
RIGHT = ["coder", "Ünïcode name", "日本", "می\u200cخواهم", "👩\u200d💻", "a b", "C++ & <tags>"]


@pytest.mark.parametrize("name", WRONG)
async def test_a_name_or_role_that_shows_nothing_or_steers_is_refused(tmp_path: Path, name: str) -> None:
    async with swarmed(tmp_path) as swarm:
        with pytest.raises(InvalidInput, match=r"^name .*; choose another"):
            await swarm.swarms.init(Topology.STAR, Strategy.BALANCED, 8, name, None)
        assert await swarm.swarms.states() == []
        await swarm.init()
        with pytest.raises(InvalidInput, match=r"^type .*; choose another"):
            await swarm.swarms.spawn(name, None, (), 1, None)
        with pytest.raises(InvalidInput, match=r"^name .*; choose another"):
            await swarm.swarms.spawn("coder", name, (), 1, None)
        with pytest.raises(InvalidInput, match=r"^capability .*; choose another"):
            await swarm.swarms.spawn("coder", None, ("python", name), 1, None)
        with pytest.raises(InvalidInput, match=r"^type .*; choose another"):
            await swarm.swarms.scale(3, name, None)
        with pytest.raises(InvalidInput, match=r"^type .*; choose another"):
            await swarm.swarms.adapt(3, name, None)
        assert (await swarm.swarms.states())[0].agents == 0


@pytest.mark.parametrize("name", RIGHT)
async def test_any_other_name_is_kept_without_the_blanks_around_it(tmp_path: Path, name: str) -> None:
    async with swarmed(tmp_path) as swarm:
        state = await swarm.swarms.init(Topology.STAR, Strategy.BALANCED, 8, f" {name}\n", None)
        assert state.swarm.name == name
        (agent,) = (await swarm.swarms.spawn(f"{name} ", f" {name}", (f" {name} ",), 1, None)).agents
        assert (agent.role, agent.name, agent.capabilities) == (name, name, (name,))


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("by", ["option", "environment"])
def test_a_project_s_name_is_held_to_the_same(tmp_path: Path, by: str, name: str) -> None:
    environ: Mapping[str, str] = {"SWARMTALLY_PROJECT": name} if by == "environment" else {}
    with pytest.raises(InvalidInput, match=r"^project .*; choose another"):
        Settings.gather(
            "shell",
            db=str(tmp_path / "swarm.db"),
            project=name if by == "option" else None,
            environ=environ,
            cwd=tmp_path,
        )


async def test_a_repository_s_path_is_a_project_whatever_it_holds(tmp_path: Path) -> None:
    place = tmp_path / "odd\nname "
    await anyio.to_thread.run_sync(lambda: (place / ".git").mkdir(parents=True))
    settings = await anyio.to_thread.run_sync(
        lambda: Settings.gather("shell", db=str(tmp_path / "swarm.db"), environ={}, cwd=place)
    )
    assert settings.project == str(place)


@given(st.text(max_size=40))
def test_a_name_that_is_taken_is_seen_and_takes_one_line(text: str) -> None:
    try:
        name = checked_name("name", text)
    except InvalidInput:
        return
    assert name == text.strip()
    assert len(name.splitlines()) == 1
    assert any(char.isprintable() and not char.isspace() for char in name)
    assert checked_name("name", name) == name
