"""Stack traces stay one entry each, and are grouped by exception and innermost own frame."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally.logreading.reading import Reader, Reading

PYTHON = """\
2026-11-23 09:08:07,123 - app.web - ERROR - request {n} failed
Traceback (most recent call last):
  File "/srv/{n}/app/web.py", line {n}, in view
    query()
  File "/srv/app/db.py", line 1{n}, in query
    raise
sqlite3.OperationalError: database is locked

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/srv/app/web.py", line 55, in view
    query()
  File "/venv/lib/python3.11/site-packages/flask/app.py", line 9, in handle
    pass
    ~~~~^^^
RuntimeError: cannot serve user {n}"""
JAVA = """\
2026-11-23 09:08:07.123 [http-{n}] ERROR com.acme.Web - request {n} failed
java.lang.RuntimeException: wrapped
\tat com.acme.Web.serve(Web.java:{n})
\tat org.springframework.web.X.y(X.java:1)
Caused by: java.net.ConnectException: Connection refused
\tat java.base/java.net.PlainSocketImpl.connect(PlainSocketImpl.java:1)
\tat com.acme.Db.lambda$open${n}(Db.java:99)
\t... 23 more"""
JAVA_MAIN = """\
Exception in thread "main" java.lang.NullPointerException: Cannot invoke "x"
\tat java.base/java.util.Objects.requireNonNull(Objects.java:{n})
\tat com.acme.Main.main(Main.java:{n})"""
JAVASCRIPT = """\
TypeError: Cannot read properties of undefined (reading 'id{n}')
    at Object.next (/srv/node_modules/x/index.js:1:1)
    at async handler (/srv/app/routes/user.js:{n}:5)
    at processTicksAndRejections (node:internal/process/task_queues:95:5)"""
NODE = """\
Error: connect ECONNREFUSED 127.0.0.1:{n}
    at TCPConnectWrap.afterConnect [as oncomplete] (node:net:1555:16) {{
  errno: -111,
  code: 'ECONNREFUSED'
}}"""
GO = """\
panic: runtime error: index out of range [{n}] with length 3

goroutine {n} [running]:
runtime.panicIndex(0x5)
\t/usr/local/go/src/runtime/panic.go:88 +0x1d
main.(*Server).handle(0xc00001{n}000, 0x5)
\t/src/app/server.go:{n} +0x1d
main.main()
\t/src/app/main.go:10 +0x25
exit status 2"""
TRACES = {
    "Python": (PYTHON, "RuntimeError", "view (app/web.py)", "cannot serve user <num>"),
    "Java": (JAVA, "java.net.ConnectException", "com.acme.Db.open", "Connection refused"),
    "Java without a logger": (JAVA_MAIN, "java.lang.NullPointerException", "com.acme.Main.main", 'Cannot invoke "x"'),
    "JavaScript": (JAVASCRIPT, "TypeError", "handler (routes/user.js)", "Cannot read properties of undefined"),
    "Node, no own frame": (
        NODE,
        "Error",
        "TCPConnectWrap.afterConnect [as oncomplete] (node:net)",
        "connect ECONNREFUSED",
    ),
    "Go": (GO, "runtime error", "main.(*Server).handle (app/server.go)", "index out of range [<num>] with length"),
}


def read(text: str) -> Reading:
    reader = Reader(keep_lines=True)
    reader.feed(text.splitlines(keepends=True))
    return reader.result()


@pytest.mark.parametrize("name", TRACES)
def test_traces_are_one_entry_each_and_grouped_by_exception_and_innermost_own_frame(name: str) -> None:
    text, exception, frame, message = TRACES[name]
    traces = [text.format(n=n) for n in (3, 41, 507)]
    reading = read("\n".join(traces))
    (template,) = reading.templates
    assert (reading.entries, template.count) == (3, 3)
    assert (template.exception, template.frame) == (exception, frame)
    assert template.template.startswith(f"{exception}: {message}")
    assert template.template.endswith(frame)
    assert template.lines == tuple(len(text.splitlines()) * n for n in range(3))


@pytest.mark.parametrize("name", TRACES)
def test_the_lines_before_and_after_a_trace_are_entries_of_their_own(name: str) -> None:
    trace = TRACES[name][0].format(n=5)
    reading = read(f"starting now\n{trace}\n2026-11-23 09:08:08 INFO all is well\nnothing else")
    assert reading.entries == 4
    assert sum(template.exception is not None for template in reading.templates) == 1


@pytest.mark.parametrize("name", TRACES)
def test_the_key_of_a_trace_follows_from_exception_and_frame_alone(name: str) -> None:
    text = TRACES[name][0]
    once, other = (
        read(text.format(n=1)).templates[0],
        read("\n".join(text.format(n=n) for n in range(20, 30))).templates[0],
    )
    assert once.key == other.key


def test_traces_that_differ_in_frame_or_exception_are_apart() -> None:
    text = JAVA_MAIN.format(n=1)
    others = (text.replace("acme.Main.main", "acme.Main.stop"), text.replace("NullPointer", "IllegalState"))
    keys = {template.key for template in read("\n".join((text, *others))).templates}
    assert len(keys) == 3


def test_a_trace_in_a_json_field_is_a_trace() -> None:
    line = (
        '{"level":"error","message":"it failed","exception":"java.io.IOException: closed'
        '\\n\\tat com.acme.Db.read(Db.java:9)\\n\\tat com.acme.Main.main(Main.java:1)"}'
    )
    (template,) = read(line).templates
    assert (template.exception, template.frame, template.level) == ("java.io.IOException", "com.acme.Db.read", "error")


def test_a_text_of_several_lines_in_a_list_is_one_entry() -> None:
    reader = Reader()
    reader.feed([PYTHON.format(n=1), "other"])
    reading = reader.result()
    assert (reading.lines, reading.entries) == (2, 2)
    assert {template.exception for template in reading.templates} == {"RuntimeError", None}


def test_indented_lines_belong_to_the_entry_above_that_has_a_head() -> None:
    assert (
        read("2026-11-23 09:08:07 ERROR query failed\n  SELECT 1\n  FROM x\n2026-11-23 09:08:08 INFO ok").entries == 2
    )


def test_indented_lines_without_such_an_entry_stand_alone() -> None:
    assert read("one thing\n  another thing here").entries == 2


def test_an_endless_trace_is_cut_in_the_middle_and_still_known() -> None:
    frames = "".join(f'  File "/srv/app/deep.py", line {n}, in again\n    again()\n' for n in range(3_000))
    (template,) = read(f"Traceback (most recent call last):\n{frames}RecursionError: too deep").templates
    assert (template.exception, template.frame) == ("RecursionError", "again (app/deep.py)")
    assert "RecursionError" in template.examples[0]
    assert len(template.examples[0]) <= 1_500


LINES = st.sampled_from([line for text, *_ in TRACES.values() for line in text.format(n=7).splitlines()])


@given(st.lists(LINES | st.text(), max_size=30))
def test_whatever_the_order_of_lines_each_is_counted_once(lines: list[str]) -> None:
    reader = Reader()
    reader.feed(lines)
    reading = reader.result()
    assert reading.lines == len(lines)
    assert sum(template.count for template in reading.templates) == reading.entries
    assert reading.entries + dict(reading.skipped).get("blank", 0) <= len(lines)
