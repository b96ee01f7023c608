"""Addresses: what can be read, as URIs and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally.domain.addresses import (
    URI_LIMIT,
    Address,
    CurrentSwarm,
    DeliverableAddress,
    MemoryAddress,
    PerformanceReport,
    RunAddress,
    TimelineAddress,
    address_of,
    uri_of,
)
from swarmtally.domain.files import media_type

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100)
addresses: st.SearchStrategy[Address] = st.one_of(
    st.just(CurrentSwarm()),
    st.just(PerformanceReport()),
    st.builds(RunAddress, names),
    st.builds(TimelineAddress, names),
    st.builds(DeliverableAddress, names, names),
    st.builds(MemoryAddress, names, names),
)


@given(addresses)
def test_every_address_has_a_uri_of_ascii_that_names_it_again(address: Address) -> None:
    uri = uri_of(address)
    assert uri.isascii()
    assert address_of(uri) == address


@given(st.text(max_size=60))
def test_no_text_breaks_the_reading_of_a_uri(text: str) -> None:
    for uri in (text, f"swarm://{text}", f"memory://{text}", f"swarm://runs/{text}"):
        found = address_of(uri)
        assert found is None or address_of(uri_of(found)) == found


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("SWARM://current", CurrentSwarm()),
        ("swarm://runs/r_1/artifacts/code_2", DeliverableAddress("r_1", "code_2")),
        ("swarm://runs/r_1/artifacts/code_2/src/app.py", DeliverableAddress("r_1", "code_2/src/app.py")),
        ("swarm://runs/r_1/artifacts/code_2%2Fsrc%2Fapp.py", DeliverableAddress("r_1", "code_2/src/app.py")),
        ("memory://default/a/b", MemoryAddress("default", "a/b")),
        ("memory://my%2Fspace/a%20b?c#d", MemoryAddress("my/space", "a b?c#d")),
    ],
)
def test_a_uri_may_be_written_in_several_ways(uri: str, address: Address) -> None:
    assert address_of(uri) == address


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "current",
        "swarm:current",
        "swarm://",
        "swarm://current/",
        "swarm://runs",
        "swarm://runs/",
        "swarm://runs//timeline",
        "swarm://runs/r_1/",
        "swarm://runs/r_1/timeline/x",
        "swarm://runs/r_1/artifacts",
        "swarm://runs/r_1/artifacts/",
        f"swarm://runs/{'r' * 101}",
        "memory://",
        "memory://default",
        "memory://default/",
        "memory:///key",
        f"memory://default/{'k' * 513}",
        "memory://default/%ff",
        "report://performance/",
        "file:///etc/passwd",
        f"memory://default/{'%41' * URI_LIMIT}",
    ],
)
def test_what_has_none_of_the_forms_is_no_address(uri: str) -> None:
    assert address_of(uri) is None


def test_a_files_type_is_that_of_its_ending_and_never_a_guess() -> None:
    assert media_type("src/app.py") == "text/x-python"
    assert media_type("DATA.JSON") == "application/json"
    assert [media_type(path) for path in ("a.ts", "Makefile", ".md", "a.", "md")] == ["text/plain"] * 5
