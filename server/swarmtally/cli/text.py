"""How text that others wrote is put on a terminal."""

NONE = "–"
"""Stands for null; why it is null is in `reasons`."""


def clean(text: str) -> str:
    """`text` without what could steer a terminal: models and strangers wrote some of it."""
    return "".join(char if char.isprintable() or char == "\n" else "�" for char in text)
