"""Text from outside made fit to be kept and shown."""


def storable(text: str) -> str:
    """`text` with halves of surrogate pairs replaced: they are no characters, and nothing can write them down."""
    return text.encode(errors="replace").decode()


def one_line(text: str, limit: int) -> str:
    """`text` on one line of at most `limit` characters, without what could steer a terminal."""
    shown = "".join(char if char.isprintable() else " " if char.isspace() else "�" for char in storable(text))
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}…"


def counted(number: int, thing: str) -> str:
    """`number` and the name of what is counted, such as "1 call" or "2 calls"."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
