"""How many requests a second each client may send: a token bucket for each address.

A bucket is one number, the moment at which it will be full again (the generic cell rate algorithm, ITU-T I.371, 1996):
a request moves it one interval on, and is refused while it lies further ahead than a full bucket takes to fill.
"""

import ipaddress
import time
from collections.abc import Callable
from functools import lru_cache

from swarmtally.domain.clock import NS_PER_S


class Rates:
    """The buckets of the clients seen last.

    Args:
        per_s: requests a second that a client may send all the time.
        burst: requests it may send at once after it was silent.
        clients: how many are remembered. One more forgets the one that has been silent longest, whose bucket is full
            when it comes again.
        monotonic_ns: the clock.
    """

    def __init__(
        self, per_s: float, burst: int, clients: int, monotonic_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._interval_ns = max(1, round(NS_PER_S / per_s))
        self._depth_ns = burst * self._interval_ns
        self._clients = clients
        self._now_ns = monotonic_ns
        # In the order of their last requests.
        self._full_at_ns: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._full_at_ns)

    def wait_ns(self, client: str) -> int:
        """0 when the request is admitted; else how long its client has to wait until one is."""
        now_ns = self._now_ns()
        full_at_ns = max(self._full_at_ns.pop(client, now_ns), now_ns) + self._interval_ns
        missing_ns = full_at_ns - now_ns - self._depth_ns
        # A refused request takes nothing, else who never stops asking would never be admitted again.
        self._full_at_ns[client] = full_at_ns if missing_ns <= 0 else full_at_ns - self._interval_ns
        if len(self._full_at_ns) > self._clients:
            del self._full_at_ns[next(iter(self._full_at_ns))]
        return max(0, missing_ns)


@lru_cache(maxsize=1_024)
def name_of(address: str, *, loopback: bool) -> str | None:
    """Whom an address is counted as: of IPv6 its network of 64 bits, which one host has to itself. None: not counted.

    Args:
        loopback: whether this machine's own clients are counted too.
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        found = found.ipv4_mapped or found
    if found.is_loopback and not loopback:
        return None
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(found) >> 64 << 64, 64)))
    return str(found)
