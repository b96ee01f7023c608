"""Secrets in text become `<secret>` before anything is kept or shown.

What counts as one: the value after a word that names a secret (password, token, key, cookie …), credentials in a URL, keys
of known shapes (AWS, GitHub, GitLab, Slack, OpenAI, Anthropic, Stripe, Google, npm, Hugging Face, JWT), private keys, and
long random base64."""

import re

SECRET = "<secret>"  # noqa: S105 - what is shown in place of one
_NAME = (
    r"(?:pass(?:word|wd|phrase|code)?|pwd|secret|token|api[_-]?key|access[_-]?key|secret[_-]?key|private[_-]?key"
    r"|auth(?:orization)?[_-]?key|encryption[_-]?key|client[_-]?secret|credentials?|session[_-]?(?:id|key)|otp|pin|signature)"
)
RISKY = re.compile(
    r"pass|pwd|secret|token|key|auth|bearer|basic|credential|cookie|sess|private|otp|\bpin\b|signature|://[^/\s]*@"
    r"|sk-|gh[pousr]_|github_pat|xox|akia|asia[0-9]|aiza|glpat|npm_|hf_|eyj|_live_|_test_|-----|[a-z0-9+/_-]{32}",
    re.IGNORECASE,
)
"""A text without this holds nothing that `hide_secrets` would hide."""
LEADS_ON = re.compile(
    rf"(?i)(?:{_NAME}|authorization|bearer|basic)[\"'\\]*(?:=>|:=|[:=])?(?:\\?[\"'][^\"']*)?$|cookie:|authorization[:=]|-----BEGIN"
)
"""A word behind which a secret may stand, in further words."""

_RULES = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?:.*?-----END [A-Z ]*PRIVATE KEY-----|.*)", re.DOTALL), SECRET),
    (re.compile(r"(?i)\b((?:set-)?cookie:\s*)[^\r\n]+"), rf"\1{SECRET}"),
    (re.compile(r"(?i)\b((?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?)(?:(\w+)\s+)?[^\s\"',;]+"), rf"\1{SECRET}"),
    (re.compile(r"(?i)\b(bearer|basic)(\s+)(?=\S{0,64}[\d=._+/-]|\S{24})[A-Za-z0-9._~+/=-]{8,}"), rf"\1\2{SECRET}"),
    (re.compile(r"(://[^/\s:@]{0,256}:)[^/\s@]{1,256}@"), rf"\1{SECRET}@"),
    # password=…, "token": "…", passwd: …; also db_password and --api-key=…
    (re.compile(rf"(?i)({_NAME}[\"'\\]*\s*(?:=>|:=|[:=])\s*)(?![<\s])(\\?[\"'])((?:(?!\2).){{1,512}})\2"), rf"\1\2{SECRET}\2"),
    (re.compile(rf"(?i)({_NAME}[\"'\\]*\s*(?:=>|:=|[:=])\s*)(?!<secret>)[^\s\"',;&|)\]}}]+"), rf"\1{SECRET}"),
    # --password hunter2
    (re.compile(rf"(?i)(--?[\w-]*{_NAME}\s+)(?![-<])[^\s\"',;&]+"), rf"\1{SECRET}"),
    # token 8f3a…, password is s3cret123: only what looks random, for "password for root" names none.
    (re.compile(rf"(?i)(\b{_NAME}(?:\s+(?:is|was))?\s+[\"']?)(?=[a-z._-]{{0,60}}\d)(?=\d{{0,60}}[a-z])[\w.+/=-]{{8,}}"), rf"\1{SECRET}"),
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"), SECRET),
    (re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|npm_[A-Za-z0-9]{30,}|hf_[A-Za-z0-9]{30,})"), SECRET),
    (re.compile(r"\bxox[abeoprs]-[\w-]{10,}"), SECRET),
    (re.compile(r"\bsk-[\w-]{16,}|\b[rsp]k_(?:live|test)_\w{10,}|\bAIza[\w-]{30,}"), SECRET),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"), SECRET),
)  # fmt: skip
_RANDOM = re.compile(r"(?<![\w+/=.-])[A-Za-z0-9+/_-]{32,}={0,2}(?![\w+/=])")


def hide_secrets(text: str) -> str:
    """The text with every secret in it replaced; twice is the same as once."""
    if RISKY.search(text) is None:
        return text
    for pattern, shown in _RULES:
        text = pattern.sub(shown, text)
    return _RANDOM.sub(lambda found: SECRET if _is_random(found[0]) else found[0], text)


def _is_random(word: str) -> bool:
    """Upper, lower and digits often in turn: base64 of random bytes; neither a path, a name nor a hexadecimal digest."""
    kinds = [0 if letter.isdigit() else 1 if letter.isupper() else 2 for letter in word if letter.isalnum()]
    turns = sum(one != two for one, two in zip(kinds, kinds[1:], strict=False))
    return len(set(kinds)) == 3 and turns >= len(kinds) * 0.4
