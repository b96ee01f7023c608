"""Secrets in text become `<secret>` before anything is kept or shown.

What counts as one: the value after a word that names a secret (password, token, API key, cookie …), credentials in a
URL or a command, keys of the shapes that their makers give them, hashes of passwords, private keys, and long random
base64."""

import re
from itertools import pairwise

SECRET = "<secret>"  # noqa: S105 - what is shown in place of one
_NAME = (
    r"(?:pass(?:word|wd|phrase|code|wort)?|pwd|kennwort|contrase(?:ñ|\\u00f1)a|senha|mot[ _]de[ _]passe|пароль"
    r"|密码|口令|パスワード"
    r"|secret|token|(?:api|access|account|private|signing|master|ssh)[_-]?key|secret[_-]?key(?:[_-]?base)?"
    r"|auth(?:orization)?[_-]?key|encryption[_-]?key|client[_-]?secret|credentials?|session[_-]?(?:id|key)|otp"
    r"|\bpin|signature)"
)
_MARKS = (
    "pass", "pwd", "secret", "token", "key", "auth", "bearer", "basic", "credential", "cookie", "sess", "private",
    "otp", "pin", "signature", "://", "kennwort", "contrase", "senha", "парол", "密码", "口令", "パスワード",
    "identified", "-u", "sig=", "code=", "$1$", "$2", "$5$", "$6$", "$y$", "$apr1$", "$argon2", "-----",
)  # fmt: skip
_LONG = re.compile(r"[\w+/=.:-]{20}")
"""Without so long a word there is neither a key of a known shape nor random base64."""
_RANDOM_LONG = re.compile(r"[A-Za-z0-9+/_-]{32}")
_ESC = r"\\{0,8}"
"""What is before a quote in JSON in JSON."""
_IS = r"(?:=>|:=|[:=：]|%3[Dd])"
_LEADS_ON = re.compile(
    rf"(?i)(?:{_NAME}|authorization|bearer|basic|identified|sshpass|curl|mysql\w*|-u)[\"'\\]*{_IS}?[\"']?,?"
    rf"(?:(?<=[:=])[\w.]*\(?{_ESC}[\"'][^\"']*)?$"
    rf"|(?:{_NAME}|auth)[\"'\\]*\s*{_IS}{_ESC}[\"'][^\"']*$|cookie[\"'\\]*:|authorization[\"'\\]*[:=]|-----BEGIN"
    rf"|<{_NAME}>|name{_ESC}[\"']?\s*[:=]\s*{_ESC}[\"']?[\w-]{{0,60}}{_NAME}"
)
_ASSIGNED = rf"(?i)({_NAME}[\"'\\]*\s*{_IS}\s*"
_END = r"[,;&|)\]}]"
_RULES = (
    (
        (
            r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----"
            r"(?:(?s:.*?)-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|(?s:.*))"
        ),
        SECRET,
    ),
    (rf"(?i)\b((?:set-)?cookie{_ESC}[\"']\s*:\s*)({_ESC}[\"'])((?:(?!\2).){{1,4096}})\2", rf"\1\2{SECRET}\2"),
    (r"(?i)\b((?:set-)?cookie:\s*)[^\r\n]+", rf"\1{SECRET}"),
    (r"(?i)\b((?:proxy-)?authorization[\"']?\s*[:=]\s*[\"']?)digest\s[^\r\n]+", rf"\1{SECRET}"),
    (rf"(?i)\b((?:proxy-)?authorization{_ESC}[\"']?\s*[:=]\s*{_ESC}[\"']?)(?:(\w+)\s+)?[^\s\"',;\\]+", rf"\1{SECRET}"),
    (rf"(?i)(\bauth{_ESC}[\"']\s*:\s*{_ESC}[\"'])[A-Za-z0-9+/=]{{12,}}", rf"\1{SECRET}"),
    (r"(?i)\b(bearer|basic)(\s+)(?=\S{0,64}[\d=._+/-]|\S{24})[A-Za-z0-9._~+/=-]{8,}", rf"\1\2{SECRET}"),
    # A password may hold what should be escaped; a port and a path behind it are none.
    (r"(://[^/\s:@]{0,256}:)(?!\d{1,5}(?:[/?#]|$))[^\s\"'@]{1,256}(?:@[^\s\"'@/]{1,256})?@", rf"\1{SECRET}@"),
    (r"(://)(?=[^/\s:@]{0,60}\d)[^/\s:@]{16,256}@", rf"\1{SECRET}@"),
    (r"(?i)([?&](?:sig|code)=)(?=[^\s&]{0,60}\d)[^\s&\"']{6,}", rf"\1{SECRET}"),
    # password=…, "token": "…", passwd: …; also db_password, --api-key=…, b'…', Some("…")
    (rf"{_ASSIGNED}(?:\w{{1,20}}\(?)?)({_ESC}[\"'])((?:(?!\2).|(?<=\\)\2){{1,512}})\2", rf"\1\2{SECRET}\2"),
    # Up to where something else begins: what is in between may be part of it.
    (
        (
            rf"{_ASSIGNED})(?!<secret>)[^\s\"',;&|)\]}}](?:[^\s\"',;&|)\]}}]"
            rf"|{_END}+(?=[^\s\"',;&|)\]}}=:]{{1,64}}(?:[\s\"']|$)))*"
        ),
        rf"\1{SECRET}",
    ),
    # --password hunter2, '--password', 'hunter2'
    (rf"(?i)((?<![\w-])--?[\w-]{{0,60}}{_NAME}[\"']?,?\s+[\"']?)(?![-<])[^\s\"',;&]+", rf"\1{SECRET}"),
    (
        (
            r"(?i)(\bcurl\s.{0,200}?-u\s*[^\s:]{1,64}:|\bsshpass\s+-p\s*|\bmysql\w*\s.{0,200}?\s-p(?=\S))"
            r"[^\s\"']+"
        ),
        rf"\1{SECRET}",
    ),
    (rf"(?i)(\bidentified\s+by\s+|\b{_NAME}\s+)({_ESC}')((?:(?!\2).){{1,512}})\2", rf"\1\2{SECRET}\2"),
    # Closed, for our own mark looks like such an element.
    (rf"(?i)(<{_NAME}>)[^<\s]+(?=</)", rf"\1{SECRET}"),
    (
        (
            rf"(?i)(\bname{_ESC}[\"']?\s*[:=]\s*{_ESC}[\"']?[\w-]{{0,60}}{_NAME}[\w-]{{0,60}}{_ESC}[\"']?,?\s*"
            rf"{_ESC}[\"']?value{_ESC}[\"']?\s*[:=]\s*{_ESC}[\"']?)"
            r"(?!<secret>)[^\s\"',;&}\\]+"
        ),
        rf"\1{SECRET}",
    ),
    # token 8f3a…, password is s3cret123: only what looks random, for "password for root" names none.
    (
        rf"(?i)(\b{_NAME}(?:\s+(?:is|was))?(?:\s|\\[tn])+[\"']?)(?=[a-z._-]{{0,60}}\d)(?=\d{{0,60}}[a-z])[\w.+/=-]{{7,}}",
        rf"\1{SECRET}",
    ),
    (r"\$(?:1|2[abxy]?|5|6|y|apr1|argon2\w{1,2})\$[\w./$=,+-]{16,}", SECRET),
)
_SHAPES = (
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|gl(?:pat|rt|[dfl]t|ptt|cbt|soat|imt|agent|oas)-[\w-]{16,})",
    r"\b(?:npm_[A-Za-z0-9]{30,}|hf_[A-Za-z0-9]{30,}|xox[abeoprs]-[\w-]{10,}|xapp-[\w-]{16,}|pypi-[\w-]{16,})",
    r"\b(?:sk-[\w-]{16,}|[rsp]k_(?:live|test)_\w{10,}|whsec_\w{16,}|AIza[\w-]{30,}|ya29\.[\w-]{16,}|GOCSPX-[\w-]{16,})",
    r"\b(?:SG\.[\w-]{16,}\.[\w-]{16,}|SK[0-9a-f]{32}|key-[0-9a-f]{32}|dapi[0-9a-f]{32}|do[opr]_v1_[0-9a-f]{32,})",
    r"\b(?:hv[sbr]\.[\w-]{20,}|dp\.[a-z]{2,5}\.\w{20,}|lin_api_\w{20,}|shp[a-z]{2}_[0-9a-f]{32})",
    r"\b(?:gsk_\w{20,}|xai-\w{20,}|r8_\w{20,}|pplx-\w{20,}|dckr_pat_[\w-]{16,}|ATATT3[\w=-]{20,}|tskey-[\w-]{16,})",
    r"\bAGE-SECRET-KEY-1[0-9A-Z]{20,}",
    r"(?<!\d)\d{8,10}:AA[\w-]{33}",
    r"(?<=hooks\.slack\.com/services/)[\w/]{20,}",
    r"(?<=/api/webhooks/)\d{10,}/[\w-]{20,}",
    r"\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?",
)
_COMPILED = tuple((re.compile(pattern), shown) for pattern, shown in _RULES)
_SHAPED = re.compile("|".join(_SHAPES))
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
    if _LONG.search(text) is not None:
        text = _SHAPED.sub(SECRET, text)
    if _is_marked(text):
        for pattern, shown in _COMPILED:
            text = pattern.sub(shown, text)
    if _RANDOM_LONG.search(text) is None:
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
