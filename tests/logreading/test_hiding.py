"""Secrets are hidden, and words that only speak of them are not."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarmtally.logreading.hiding import hide_secrets
from swarmtally.logreading.reading import Reader

KEY = "Zq8Xv2LmN4pRt6Wy"
SECRETS = (
    ("password=%s", KEY), ("password: %s", KEY), ('"password": "%s"', KEY), ("--password %s", KEY),
    ("db_password='%s'", KEY), ("passwd = %s", KEY), ("DB_PWD=%s;", KEY), ("api key: x api_key=%s", KEY),
    ("token is %s", KEY), ("invalid token %s", KEY), ("Authorization: Bearer %s", KEY),
    ("Authorization: Basic %s==", KEY), ("Authorization: %s", KEY), ("Cookie: a=%s; b=1", KEY),
    ("postgres://bob:%s@db:5432/x", KEY), ("GET /x?access_token=%s&y=1", KEY),
    ("-----BEGIN RSA PRIVATE KEY----- %s", KEY),
    ("client_secret=%s,scope=x", KEY), ("using %s", "AKIA" + "ABCDEFGH23456789"), ("using %s", "ghp_" + "a1B2c3D4" * 5),
    ("using %s", "sk-ant-" + "a1B2c3D4" * 5), ("using %s.", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln"),
    ("using %s", "xoxb-" + "1234567890-abcdef"), ("using %s", "AIza" + "SyA1b2C3d4" * 4),
    ("using %s", "glpat-" + "a1B2c3D4" * 3),
    ("{'password': b'%s'}", KEY), ('Config(password=Some("%s"))', KEY), ("['mysql', '--password', '%s']", KEY),
    ("curl -u admin:%s http://host/", KEY), ("sshpass -p %s ssh host", KEY), ("mysqldump -u root -p%s shop", KEY),
    ("SECRET_KEY_BASE=%s", KEY), ("AccountKey=%s;Suffix=x", KEY + "=="), ("<password>%s</password>", KEY),
    ('{"name":"DB_PASSWORD","value":"%s"}', KEY), ("ALTER USER bob IDENTIFIED BY '%s'", KEY),
    ("CREATE ROLE x PASSWORD '%s'", KEY), ("Passwort: %s", KEY), ("contraseña=%s", KEY), ("密码：%s", KEY),
    ("GET /x?password%%3D%s", KEY), ("password=%s", "Zq8;Xv2,LmN&4p)R"), ('password="Zq\\"%s"', KEY),
    ('Authorization: Digest username="Mufasa", response="%s"', KEY), ('{"auth":"%s"}', KEY),
    ('{"Cookie": "a=1; sid=%s"}', KEY), ("postgres://app:%s@db:5432/x", "Zq8/Xv2@LmN4"),
    ("git clone https://%s@host/x", KEY), ("GET /x?sv=1&sig=%s&se=2", KEY), ("GET /x?code=%s HTTP/1.1", KEY),
    ('{\\\\"password\\\\":\\\\"%s\\\\"}', KEY), ("root:$6$salt$%s:18000", KEY), ("hash $2b$12$%s", KEY),
    ("using %s", "glrt-" + "a1B2c3D4" * 3), ("using %s", "SG." + "a1B2c3D4" * 2 + "." + "a1B2c3D4" * 4),
    ("using %s", "ya29." + "a1B2c3D4" * 3), ("using %s", "GOCSPX-" + "a1B2c3D4" * 3),
    ("using %s", "dop_v1_" + "a1b2c3d4" * 8), ("using %s", "hvs." + "a1B2c3D4" * 3),
    ("using %s", "dapi" + "a1b2c3d4" * 4),
    ("using %s", "shpat_" + "a1b2c3d4" * 4), ("using %s", "gsk_" + "a1B2c3D4" * 6),
    ("using %s", "pypi-" + "a1B2c3D4" * 6),
    ("using %s", "whsec_" + "a1B2c3D4" * 4), ("bot %s", "110201543:AA" + "a1B2c3D4" * 4 + "x"),
    ("POST https://hooks.slack.com/services/%s", "T00000000/B00000000/" + "a1B2c3D4" * 3),
    ("using %s", "hQ3vT9sLx2Zp7Wc5Yd8Rk4Nm6Bj1Gf0A"),
)  # fmt: skip


@pytest.mark.parametrize(("text", "secret"), SECRETS)
def test_a_secret_is_neither_in_a_template_nor_in_an_example(text: str, secret: str) -> None:
    line = f"2026-11-23 09:08:07 ERROR app.login - {text % secret} end"
    assert secret not in hide_secrets(line)
    reader = Reader()
    reader.feed([line, line.replace("07", "08")])
    (template,) = reader.result().templates
    assert "<secret>" in template.template
    assert secret[4:7] not in template.template
    assert secret not in repr(template)


@pytest.mark.parametrize(
    "text",
    [
        "Failed password for root from 10.0.0.1 port 22 ssh2", "check pass; user unknown", "token expired",
        "the basic idea", "GET https://host/a/b", "key not found: abc", "d41d8cd98f00b204e9800998ecf8427e",
        "authentication failure; uid=0", "http://host:8080/path/of/user@x", "GET /x?code=NOT_FOUND&y=1",
        "global-configuration-of-the-service", "GET http://host:80?mail=a@b",
        "org.apache.hadoop.mapreduce.v2.app.job.impl.TaskAttemptImpl",
        "/usr/lib/x86_64-linux-gnu/libsomethingVeryLong1.so",
        "com.acme.AbstractSingletonProxyFactoryBeanConfigurer2",
    ],
)  # fmt: skip
def test_what_only_speaks_of_secrets_stays(text: str) -> None:
    assert "<secret>" not in hide_secrets(text)


@pytest.mark.parametrize("cut", [*range(440, 510), *range(1_960, 2_030)])
def test_a_secret_that_an_example_is_cut_in_is_hidden(cut: int) -> None:
    secret = "ghp_" + "a1B2c3D4" * 5
    reader = Reader()
    reader.feed([f"{'word ' * (cut // 5)}{'.' * (cut % 5)} {secret} end"])
    assert "a1B2c3D4" not in repr(reader.result())


@pytest.mark.parametrize("cut", range(1_950, 2_010))
def test_a_secret_is_hidden_where_hiding_others_brings_it_into_an_example(cut: int) -> None:
    secret = "ghp_" + "a1B2c3D4" * 5
    others = f"token={'x' * 93} " * 19
    reader = Reader()
    reader.feed([f"{others}{'.' * (cut - len(others))} {secret} end"])
    assert "a1B2" not in repr(reader.result())


@given(st.text())
def test_hiding_twice_is_hiding_once(text: str) -> None:
    hidden = hide_secrets(text)
    assert hide_secrets(hidden) == hidden


@given(st.sampled_from(SECRETS), st.text(st.characters(categories=["L", "Zs", "P"])), st.text())
def test_what_stands_around_a_secret_does_not_show_it(given_: tuple[str, str], before: str, after: str) -> None:
    text, secret = given_
    assert secret not in hide_secrets(f"{before} {text % secret} {after}")


def test_the_lines_of_a_private_key_are_one_entry_and_hidden() -> None:
    reader = Reader()
    reader.feed(
        ["loaded -----BEGIN PRIVATE KEY-----", "MIIEvQIBADANBgkqh", "abc=", "-----END PRIVATE KEY-----", "done"]
    )
    reading = reader.result()
    assert reading.entries == 2
    assert "MIIE" not in repr(reading)
    assert "abc=" not in repr(reading)


@pytest.mark.parametrize("kind", ["", "PGP "])
def test_a_private_key_that_begins_in_a_later_line_of_an_entry_is_hidden(kind: str) -> None:
    block = " BLOCK" if kind else ""
    key = [f"-----BEGIN {kind}PRIVATE KEY{block}-----", "", "MIIEvQIBADAN", f"-----END {kind}PRIVATE KEY{block}-----"]
    for before in ([], ["Traceback (most recent call last):", '  File "/a/b.py", line 3, in f']):
        said = f"ValueError: {key[0]}" if before else key[0]
        reader = Reader()
        reader.feed([*before, said, *key[1:]])
        reader.feed([json.dumps({"level": "error", "msg": "\n".join(key)})])
        assert "MIIE" not in repr(reader.result())


@pytest.mark.parametrize(
    "part", ["-", "-a", "password", "name=", "a_secret_", "密码", "\\", "curl -u ", "://a:", "xai-"]
)
def test_what_repeats_ends_soon(part: str) -> None:
    # Where a pattern begins again at each place, this takes a quarter of a minute.
    assert part[0] in hide_secrets("name=pass" + part * (8_192 // len(part)))


def test_a_secret_behind_a_very_long_word_is_hidden() -> None:
    reader = Reader()
    reader.feed([f'{{"a":"{"x" * 900}","password": "{KEY}", "b": 1}} oh'])
    assert "Zq" not in repr(reader.result())
