"""Our entry among a client's servers: put in, brought up to date, taken out; everything else stays as it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swarmtally.cli import jsontext
from swarmtally.cli.clients import is_ours
from swarmtally.cli.jsontext import Member, Object
from swarmtally.domain.errors import InvalidInput

_OWNED = ("type", "command", "args")
"""The members of an entry that we decide. Others, such as `env`, are the user's."""


class Unfit(ValueError):
    """The text does not have the form a client's file has; `str(error)` says what is wrong."""


@dataclass(frozen=True, slots=True)
class Servers:
    """A client's file, read as far as our entry goes."""

    text: str
    key: str
    root: Object
    servers: Object | None
    """What `key` holds; None where it is missing."""

    @classmethod
    def read(cls, text: str, key: str) -> "Servers":
        """
        Raises:
            NotPlainJson: `text` is not JSON.
            Unfit: it is, but no object, or its member `key` is none.
        """
        root = jsontext.root(text)
        if root is None:
            raise Unfit("it is JSON, but no object")
        found = _only(root, key)
        if found is None:
            return cls(text, key, root, None)
        if not isinstance(found.value, dict):
            raise Unfit(f"its {key!r} is no object")
        return cls(text, key, root, jsontext.object_at(text, found.value_start))

    def entry(self, name: str) -> Member | None:
        """The server of that name.

        Raises:
            Unfit: there are several.
        """
        return None if self.servers is None else _only(self.servers, name)

    @property
    def has_ours(self) -> bool:
        """Whether any entry starts a swarmtally."""
        return self.servers is not None and any(is_ours(member.value) for member in self.servers.members)

    def with_entry(self, name: str, wanted: Mapping[str, Any]) -> str:
        """The text with our entry `wanted`; of one that is there, what the user added stays.

        Raises:
            InvalidInput: another server has that name.
            Unfit: it has it twice.
        """
        if self.servers is None:
            return jsontext.put(self.text, self.root, self.key, {name: wanted}, 1)
        found = self.entry(name)
        if found is None:
            return jsontext.put(self.text, self.servers, name, wanted, 2)
        _check_ours(name, found)
        text = self.text
        for key in wanted:
            now = jsontext.object_at(text, found.value_start)
            there = _only(now, key)
            if there is None or (key in _OWNED and there.value != wanted[key]):
                text = jsontext.put(text, now, key, wanted[key], 3)
        return text

    def without_entry(self, name: str) -> str:
        """The text without our entry; unchanged where it has none.

        Raises:
            InvalidInput: another server has that name.
            Unfit: it has it twice.
        """
        found = self.entry(name)
        if found is None or self.servers is None:
            return self.text
        _check_ours(name, found)
        return jsontext.remove(self.text, self.servers, found)


def _only(where: Object, key: str) -> Member | None:
    found = where.find(key)
    if len(found) > 1:
        raise Unfit(f"it has {key!r} {len(found)} times")
    return found[0] if found else None


def _check_ours(name: str, found: Member) -> None:
    if not is_ours(found.value):
        raise InvalidInput(f"the server {name!r} there does not start swarmtally; choose another name with --name")
