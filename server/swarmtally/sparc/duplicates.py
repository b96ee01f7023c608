"""Says once what stands in several texts of a prompt."""

from swarmtally.sparc.sections import outline, split_blocks
from swarmtally.sparc.selection import size

LEAST_BYTES = 200
"""A shorter block is repeated: to say that it stands elsewhere takes as much."""

_START_CHARS = 60


class Once:
    """Remembers the paragraphs and blocks of code that a prompt holds already."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def cleared(self, text: str) -> str:
        """`text`; where a block of it has stood in an earlier one, word for word, a note with its beginning stands."""
        whole = outline(text)
        kept: list[str] = []
        done = -1
        blocks = [block for section in whole.sections for block in split_blocks(whole.lines, section)]
        for first, last in blocks:
            block = whole.text(first, last)
            if size(block) < LEAST_BYTES:
                continue
            if block in self._seen:
                kept += [whole.written(number) for number in range(done + 1, first)]
                kept.append(f"[stands above: {whole.lines[first].text.strip()[:_START_CHARS]} …]")
                done = last
            self._seen.add(block)
        if done < 0:
            return text
        return "\n".join([*kept, *(whole.written(number) for number in range(done + 1, len(whole.lines)))])
