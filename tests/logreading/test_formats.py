"""What stands before a message: time, level, component."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally.logreading.formats import Formats, Head
from swarmtally.logreading.stamps import NS_PER_S

NOW = datetime(2026, 11, 23, 21, 17, 47, tzinfo=UTC)
NOW_NS = int(NOW.timestamp()) * NS_PER_S


def head(line: str) -> Head:
    return Formats(NOW_NS).head(line)


def utc(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * NS_PER_S  # type: ignore[misc, arg-type]


EARLIEST, LATEST = datetime(1972, 1, 1), datetime(5000, 1, 1)  # noqa: DTZ001 - hypothesis wants them without a zone
NINE = utc(2026, 11, 23, 9, 8, 7)
MS = 1_000_000
LINES = {
    "syslog RFC 5424": (
        '<34>1 2026-11-23T09:08:07Z web-1 su - ID47 [x@1 a="b\\]"] failed for lonvick',
        (NINE, "critical", "su", "failed for lonvick"),
    ),
    "syslog RFC 3164": ("<13>Nov 23 09:08:07 host myproc[10]: Use it", (NINE, "info", "myproc", "Use it")),
    "syslog in a file": ("Nov 23 09:08:07 host sshd[24200]: Invalid user x", (NINE, None, "sshd", "Invalid user x")),
    "systemd with klog": (
        "Nov 23 09:08:07 n1 kubelet[1]: E1123 09:08:07.000000 1 pod.go:12] bad pod",
        (NINE, "error", "pod.go", "bad pod"),
    ),
    "logfmt": (
        'time=2026-11-23T09:08:07Z level=warn msg="disk full" component=store',
        (NINE, "warning", "store", "disk full"),
    ),
    "JSON": (
        '{"time":"2026-11-23T09:08:07.5Z","level":"error","logger":"api","message":"no answer"}',
        (NINE + 500 * MS, "error", "api", "no answer"),
    ),
    "JSON of Pino": ('{"level":50,"time":1795424887000,"msg":"no answer"}', (NINE, "error", None, "no answer")),
    "JSON nested": ('{"log":{"level":"warn"},"ts":1795424887.0,"message":"odd"}', (NINE, "warning", None, "odd")),
    "Docker around nginx": (
        '{"log":"2026/11/23 09:08:07 [error] 31#31: *5 connect() failed, client: 1.2.3.4\\n","stream":"stderr"}',
        (NINE, "error", "nginx", "connect() failed"),
    ),
    "Python logging": (
        "2026-11-23 09:08:07,123 - app.db - ERROR - query failed",
        (NINE + 123 * MS, "error", "app.db", "query failed"),
    ),
    "Python basicConfig": ("WARNING:app.db:slow query", (None, "warning", "app.db", "slow query")),
    "Flask": (
        "[2026-11-23 09:08:07,000] ERROR in app: Exception on / [GET]",
        (NINE, "error", "app", "Exception on / [GET]"),
    ),
    "log4j": (
        "2026-11-23 09:08:07,123 INFO [main] org.acme.Master: Created it",
        (NINE + 123 * MS, "info", "org.acme.Master", "Created it"),
    ),
    "logback": (
        "2026-11-23 09:08:07.123 [http-1] ERROR com.acme.Web - request failed",
        (NINE + 123 * MS, "error", "com.acme.Web", "request failed"),
    ),
    "Spring": (
        "2026-11-23T09:08:07.123Z  INFO 1234 --- [           main] c.a.App   : Started",
        (NINE + 123 * MS, "info", "c.a.App", "Started"),
    ),
    "log4j of Spark": ("26/11/23 09:08:07 INFO storage.Block: Found it", (NINE, "info", "storage.Block", "Found it")),
    "nginx error": (
        '2026/11/23 09:08:07 [error] 31#31: *5 open() "/x" failed (2: No such file), client: 1.2.3.4, server: _',
        (NINE, "error", "nginx", 'open() "/x" failed (2: No such file)'),
    ),
    "nginx access": (
        '1.2.3.4 - bob [23/Nov/2026:10:08:07 +0100] "GET /a?b=1 HTTP/1.1" 502 157 "-" "curl/8"',
        (NINE, "error", None, "GET /a?b=1 502 Bad Gateway"),
    ),
    "Apache error": ("[Mon Nov 23 09:08:07 2026] [error] child in state 6", (NINE, "error", None, "child in state 6")),
    "Apache 2.4": (
        "[Mon Nov 23 09:08:07.000001 2026] [core:warn] [pid 3:tid 4] [client 1.2.3.4:5] odd",
        (NINE + 1_000, "warning", "core", "odd"),
    ),
    "klog": (
        "W1123 09:08:07.000000   12345 reflector.go:123] watch ended",
        (NINE, "warning", "reflector.go", "watch ended"),
    ),
    "CRI": ("2026-11-23T09:08:07.000000000Z stderr F WARN something odd", (NINE, "warning", None, "something odd")),
    "Android": (
        "11-23 09:08:07.000  1702  2395 W WindowManager: no focus",
        (NINE, "warning", "WindowManager", "no focus"),
    ),
    "a container's name first": ("web-1  | 2026-11-23 09:08:07 ERROR no answer", (NINE, "error", None, "no answer")),
    "seconds since 1970": ("1795424887 ERROR no answer", (NINE, "error", None, "no answer")),
    "a level alone": ("error: no answer", (None, "error", None, "no answer")),
    "none": ("no answer", (None, None, None, "no answer")),
}


@pytest.mark.parametrize("name", LINES)
def test_each_usual_format_gives_time_level_component_and_message(name: str) -> None:
    line, expected = LINES[name]
    assert head(line)[:4] == expected
    assert head(line).stamped is (name != "none")


def test_an_exceptions_name_is_no_component() -> None:
    assert head("2026-11-23 09:08:07 ERROR ValueError: bad")[1:4] == ("error", None, "ValueError: bad")


def test_a_lower_case_word_behind_a_time_is_no_level() -> None:
    assert head("2026-11-23 09:08:07 error opening the file")[1:4] == (None, None, "error opening the file")


def test_a_time_without_a_year_is_the_latest_that_is_not_to_come() -> None:
    assert head("Nov 23 09:08:07 h p: x").time_ns == NINE
    assert head("Dec 24 09:08:07 h p: x").time_ns == utc(2025, 12, 24, 9, 8, 7)
    assert head("Feb 29 09:08:07 h p: x").time_ns == utc(2024, 2, 29, 9, 8, 7)


def test_without_the_time_of_now_a_year_that_is_not_there_is_unknown() -> None:
    read = Formats().head("Nov 23 09:08:07 host sshd[1]: x")
    assert (read.time_ns, read.component, read.message) == (None, "sshd", "x")


def test_a_time_of_day_without_a_date_is_unknown_but_not_part_of_the_message() -> None:
    assert head("09:08:07.123 [main] WARN a.b.C - odd")[:4] == (None, "warning", "a.b.C", "odd")


@pytest.mark.parametrize("zone", ["10:08:07+01:00", "10:08:07 +0100", "03:38:07-0530", "09:08:07Z", "09:08:07"])
def test_a_zone_is_taken_off(zone: str) -> None:
    assert head(f"2026-11-23T{zone} ERROR x").time_ns == NINE


def test_a_date_that_does_not_exist_is_unknown() -> None:
    assert head("2026-13-41 09:08:07 ERROR x").time_ns is None


@given(
    st.datetimes(EARLIEST, LATEST),
    st.sampled_from(["%Y-%m-%dT%H:%M:%S", "%Y/%m/%d %H:%M:%S"]),
)
def test_any_time_is_read_to_the_microsecond(moment: datetime, form: str) -> None:
    line = f"{moment.strftime(form)}.{moment.microsecond:06} ERROR x"
    exact = moment.replace(tzinfo=UTC)
    seconds = (exact - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    time_ns = head(line).time_ns
    assert time_ns is not None
    assert time_ns % NS_PER_S == moment.microsecond * 1_000
    assert time_ns // NS_PER_S == seconds


@given(st.text())
def test_any_text_has_a_head_and_loses_none_of_its_last_word(line: str) -> None:
    words = line.split()
    read = head(line)
    assert isinstance(read.message, str)
    if words and not read.stamped:
        assert read.message.split()[-1] == words[-1]


def test_a_list_that_a_message_begins_with_is_part_of_it() -> None:
    assert head("2026-11-23 09:08:07 ERROR app.run - ['a-1', 'b'] failed").message == "['a-1', 'b'] failed"


def test_a_component_may_begin_with_a_number() -> None:
    assert head("[10.30 16:49:06] 360AP.exe - host.org:80 open")[2:4] == ("360AP.exe", "host.org:80 open")
    assert head("2026-11-23 09:08:07 INFO 3 files: gone")[3] == "3 files: gone"


@pytest.mark.parametrize("stamp", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "0000-01-01T00:00:00Z"])
def test_a_time_that_no_calendar_has_is_unknown(stamp: str) -> None:
    assert head(f"{stamp} ERROR lost").time_ns is None
    assert head("9998-12-31T23:59:59-14:00 ERROR lost").time_ns is not None
