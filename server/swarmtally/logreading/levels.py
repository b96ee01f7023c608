"""Names of levels, as programs write them, and ours."""

_NAMES = {
    "critical": ("critical", "crit", "alert", "emerg", "emergency", "fatal", "panic", "dpanic"),
    "error": ("error", "err", "severe", "failure"),
    "warning": ("warning", "warn"),
    "info": ("info", "information", "notice", "config"),
    "debug": ("debug", "trace", "fine", "finer", "finest", "verbose"),
}
_OF_NAME = {name: level for level, names in _NAMES.items() for name in names}
LEVEL = "(?:emerg(?:ency)?|alert|crit(?:ical)?|fatal|d?panic|severe|err(?:or)?|warn(?:ing)?|notice|info|debug|trace)"
"""A pattern of what is a level where one may stand; for use with IGNORECASE."""
SYSLOG_LEVELS = ("critical", "critical", "critical", "error", "warning", "info", "info", "debug")
"""By severity, RFC 5424 section 6.2.1."""
_PINO = ((60, "critical"), (50, "error"), (40, "warning"), (30, "info"), (0, "debug"))


def level_of(given: object) -> str | None:
    """The level that a word or a number (Pino's and Bunyan's, Python's above 60 too) means."""
    if isinstance(given, str):
        return _OF_NAME.get(given.lower()) or (level_of(int(given)) if given.isascii() and given.isdigit() else None)
    if isinstance(given, bool) or not isinstance(given, int) or given < 10:
        return None
    return next(level for least, level in _PINO if given >= least)
