"""Secrets in text become `<secret>` before anything is kept or shown.

What counts as one: the value after a word that names a secret (password, token, key, cookie …), credentials in a URL,
keys of known shapes (AWS, GitHub, GitLab, Slack, OpenAI, Anthropic, Stripe, Google, npm, Hugging Face, JWT), private
keys, and long random base64."""

import re
from itertools import pairwise

SECRET = "<secret>"  # noqa: S105 - what is shown in place of one
_NAME = (
    r"(?:pass(?:word|wd|phrase|code)?|pwd|secret|token|api[_-]?key|access[_-]?key|secret[_-]?key|private[_-]?key"
    r"|auth(?:orization)?[_-]?key|encryption[_-]?key|client[_-]?secret|credentials?|session[_-]?(?:id|key)|otp"
    r"|\bpin|signature)"
)
_MARKS = (
    "pass", "pwd", "secret", "token", "key", "auth", "bearer", "basic", "credential", "cookie", "sess", "private",
    "otp", "pin", "signature", "://", "sk-", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat", "xox", "akia",
    "asia", "aiza", "glpat", "npm_", "hf_", "eyj", "_live_", "_test_", "-----",
)  # fmt: skip
_LONG = re.compile(r"[A-Za-z0-9+/_-]{32}")
_LEADS_ON = re.compile(
    rf"(?i)(?:{_NAME}|authorization|bearer|basic)[\"'\\]*(?:=>|:=|[:=])?(?:\\?[\"'][^\"']*)?$"
    r"|cookie:|authorization[:=]|-----BEGIN"
)
_ASSIGNED = rf"(?i)({_NAME}[\"'\\]*\s*(?:=>|:=|[:=])\s*)"
_RULES = (
    (r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:(?s:.*?)-----END [A-Z ]*PRIVATE KEY-----|(?s:.*))", SECRET),
    (r"(?i)\b((?:set-)?cookie:\s*)[^\r\n]+", rf"\1{SECRET}"),
    (r"(?i)\b((?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?)(?:(\w+)\s+)?[^\s\"',;]+", rf"\1{SECRET}"),
    (r"(?i)\b(bearer|basic)(\s+)(?=\S{0,64}[\d=._+/-]|\S{24})[A-Za-z0-9._~+/=-]{8,}", rf"\1\2{SECRET}"),
    (r"(://[^/\s:@]{0,256}:)[^/\s@]{1,256}@", rf"\1{SECRET}@"),
    # password=…, "token": "…", passwd: …; also db_password and --api-key=…
    (rf"{_ASSIGNED}(\\?[\"'])((?:(?!\2).){{1,512}})\2", rf"\1\2{SECRET}\2"),
    (rf"{_ASSIGNED}(?!<secret>)[^\s\"',;&|)\]}}]+", rf"\1{SECRET}"),
    # --password hunter2
    (rf"(?i)(--?[\w-]*{_NAME}\s+)(?![-<])[^\s\"',;&]+", rf"\1{SECRET}"),
    # token 8f3a…, password is s3cret123: only what looks random, for "password for root" names none.
    (
        rf"(?i)(\b{_NAME}(?:\s+(?:is|was))?\s+[\"']?)(?=[a-z._-]{{0,60}}\d)(?=\d{{0,60}}[a-z])[\w.+/=-]{{8,}}",
        rf"\1{SECRET}",
    ),
    (r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b", SECRET),
    (r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,})", SECRET),
    (r"\b(?:npm_[A-Za-z0-9]{30,}|hf_[A-Za-z0-9]{30,}|xox[abeoprs]-[\w-]{10,})", SECRET),
    (r"\b(?:sk-[\w-]{16,}|[rsp]k_(?:live|test)_\w{10,}|AIza[\w-]{30,})", SECRET),
    (r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?", SECRET),
)
_COMPILED = tuple((re.compile(pattern), shown) for pattern, shown in _RULES)
_RANDOM = re.compile(r"(?<![\w+/=.-])[A-Za-z0-9+/_-]{32,}={0,2}(?![\w+/=])")
_MOST_TURNS = 0.4


def may_hold_secret(text: str) -> bool:
    """False when there is nothing in the text that `hide_secrets` would hide; quick."""
    return _is_marked(text) or _LONG.search(text) is not None


def leads_on(word: str) -> bool:
    """Whether a secret may stand in the words behind this one."""
    return _LEADS_ON.search(word) is not None


def hide_secrets(text: str) -> str:
    """The text with every secret in it replaced; twice is the same as once."""
    if _is_marked(text):
        for pattern, shown in _COMPILED:
            text = pattern.sub(shown, text)
    if _LONG.search(text) is None:
        return text
    return _RANDOM.sub(lambda found: SECRET if _is_random(found[0]) else found[0], text)


def _is_marked(text: str) -> bool:
    lower = text.lower()
    for mark in _MARKS:  # noqa: SIM110 - any() takes twice the time, and this runs for every new word of a log
        if mark in lower:
            return True
    return False


def _is_random(word: str) -> bool:
    """Upper, lower and digits often in turn: base64 of random bytes; neither a path, a name nor a digest."""
    if word in (word.lower(), word.upper()):
        return False
    kinds = [0 if letter.isdigit() else 1 if letter.isupper() else 2 for letter in word if letter.isalnum()]
    turns = sum(one != two for one, two in pairwise(kinds))
    return len(set(kinds)) == 3 and turns >= len(kinds) * _MOST_TURNS
