"""Chooses what of several texts is shown in the room there is, and writes it down in the texts' own order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from swarmtally.sparc.passages import Indexed, Unit

HEADING = -1
"""The `order` of a heading: before the units of the block that begins at its line."""

_GAP = " … "


def size(text: str) -> int:
    """The length of `text` in UTF-8 bytes."""
    return len(text.encode())


@dataclass(frozen=True, slots=True)
class Piece:
    """A heading or unit of text number `document`, or a shorter form of it in its place."""

    document: int
    section: int
    first: int
    order: int
    text: str
    apart: bool = True
    """Stands on lines of its own."""

    @classmethod
    def of(cls, document: int, unit: Unit, text: str | None = None) -> "Piece":
        return cls(document, unit.section, unit.first, unit.order, unit.text if text is None else text, unit.apart)

    @property
    def heading(self) -> bool:
        return self.order == HEADING

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands in its text. Two pieces of one place are forms of the same; the longer one is shown."""
        return self.first, self.order

    @property
    def cost(self) -> int:
        """Its bytes with what stands between it and the piece before."""
        return size(self.text) + (1 if self.apart else size(_GAP))


class Selection:
    """What has been chosen so far of some texts.

    Args:
        texts: what is chosen from.
        frames: of each text, the bytes it takes to show anything of it at all.
        room: the bytes there are.
    """

    def __init__(self, texts: Sequence[Indexed], frames: Sequence[int], room: int) -> None:
        self._texts = texts
        self._frames = frames
        self._room = room
        self._used = 0
        self._chosen: list[dict[tuple[int, int], Piece]] = [{} for _ in texts]
        self._named: set[tuple[int, int]] = set()
        self._begun: set[int] = set()

    def take(self, pieces: Iterable[Piece], share: float = 1.0) -> None:
        """Take what fits, in the order given, as long as not more than `share` of the room is used."""
        limit = self._room * share
        for piece in pieces:
            chosen = self._chosen[piece.document]
            held = chosen.get(piece.place)
            if held is not None and size(held.text) >= size(piece.text):
                continue
            cost = piece.cost - (held.cost if held else 0) + self._opening(piece)
            if self._used + cost <= limit:
                self._used += cost
                chosen[piece.place] = piece
                self._begun.add(piece.document)
                self._named.add((piece.document, piece.section))

    def settle(self) -> None:
        """Count exactly what is used: `take` counts sentences as if each stood apart from the one before."""
        self._used = sum(size(self.written(document)) + 1 + self._frames[document] for document in self._begun)

    def chosen(self, document: int) -> list[Piece]:
        """What was chosen of a text, in its order."""
        chosen = self._chosen[document]
        return [chosen[place] for place in sorted(chosen)]

    def written(self, document: int) -> str:
        """The same as text: each section begins with its heading, or with its name as references use it."""
        lines: list[str] = []
        before: Piece | None = None
        for piece in self.chosen(document):
            new = before is None or before.section != piece.section
            if new and not piece.heading:
                lines += filter(None, [self._name(piece)])
            if before is None or new or piece.apart or before.apart or before.first != piece.first:
                lines.append(piece.text)
            else:
                lines[-1] += (" " if piece.order == before.order + 1 else _GAP) + piece.text
            before = piece
        return "\n".join(lines)

    def _opening(self, piece: Piece) -> int:
        """What the first piece of a text or of a section takes besides."""
        frame = 0 if piece.document in self._begun else self._frames[piece.document]
        known = piece.heading or (piece.document, piece.section) in self._named
        name = "" if known else self._name(piece)
        return frame + (size(name) + 1 if name else 0)

    def _name(self, piece: Piece) -> str:
        outline = self._texts[piece.document].outline
        section = outline.sections[piece.section]
        # Code names itself.
        return f"[#{section.slug}]" if section.level and not outline.code else ""
