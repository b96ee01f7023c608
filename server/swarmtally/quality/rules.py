"""Which linter rule speaks for which criterion, and how much a finding weighs.

A rule counts for one criterion only, so that one fault does not lower two scores. Weights: 3 for what breaks or is open
to attack, 2 for what often does, 1 for the usual fault, below that what is a matter of degree.
"""

from swarmtally.quality.model import Criterion

PERFORMANCE, EFFICIENCY, SCALABILITY = Criterion.PERFORMANCE, Criterion.EFFICIENCY, Criterion.SCALABILITY
MAINTAINABILITY, RELIABILITY, SECURITY = Criterion.MAINTAINABILITY, Criterion.RELIABILITY, Criterion.SECURITY

_CODES: dict[tuple[Criterion, float], str] = {
    (PERFORMANCE, 1): "PERF FURB122 FURB129 FURB192 PLC0206 PLR1733 PLR1736",
    (PERFORMANCE, 0.5): "PLC0207 SIM118",
    (PERFORMANCE, 3): "RUF017",
    (EFFICIENCY, 1): "C4 FURB RUF015 SIM115",
    (EFFICIENCY, 2): "B019",
    (EFFICIENCY, 0.5): "C408 G001 G002 G003 G004 RUF005 RUF046 PIE810 PLC0208 PLR1730 SIM905",
    (SCALABILITY, 3): "ASYNC",
    (SCALABILITY, 1): "ASYNC115 ASYNC116 PLW0603",
    (MAINTAINABILITY, 1): "F811 ERA001",
    (MAINTAINABILITY, 0.5): "PLC PLR PLW SIM F401 F841 F842",
    (MAINTAINABILITY, 0.25): "E711 E712 E713 E714 E721 E731 E741 F541 B007 B009 B010 B011 B018 PIE RET",
    (RELIABILITY, 3): "E722 S110 F821 F822 F823 PLE",
    (RELIABILITY, 2): "BLE001 S112 B006 B012 B023 RUF006 F7 F6 F50 F52 F402",
    (RELIABILITY, 1): "B S113 F901 RUF008 RUF024 PLW1501 PLW1508 PLW1509 PLW0127 PLW0177 PLW0711 SIM107 TRY002 PLR1704",
    (RELIABILITY, 0.5): "B904 B008 TRY201 TRY203 TRY400 TRY401 DTZ PLW1510 LOG F403 F405 F406",
    (RELIABILITY, 0.25): "B905 B028 RUF012 RUF009 TRY004",
    (SECURITY, 3): "S102 S201 S307 S501 S502 S506 S507 S602 S604 S605 S609 S612",
    (SECURITY, 2): "S202 S301 S302 S306 S323 S701 S702 S704",
    (SECURITY, 1): "S",
    (SECURITY, 0.5): "S608",
    (SECURITY, 0.25): "S311 S603 S606 S607",
}

LEFT_OUT = (
    "B911", "B912", "C901", "F722", "FURB105", "FURB157", "FURB167", "FURB168", "FURB169", "FURB171", "FURB177",
    "PERF203", "PIE804", "PLC0415", "PLC2401", "PLC2403", "PLR0911", "PLR0912", "PLR0913", "PLR0915", "PLR0917",
    "PLR2004", "S101", "S404", "SIM105", "SIM112", "ASYNC109",
)  # fmt: skip
"""What lizard measures for every language (C901, PLR09), what another rule already finds, and matters of taste."""

WEIGHTS: dict[str, tuple[Criterion, float]] = {
    code: spoken for spoken, codes in _CODES.items() for code in codes.split()
}  # fmt: skip


def spoken_for(code: str) -> tuple[Criterion, float] | None:
    """A rule's criterion and weight: those of the longest code above that it begins with."""
    for length in range(len(code), 0, -1):
        if found := WEIGHTS.get(code[:length]):
            return found
    return None
