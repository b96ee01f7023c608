"""Logs with known templates read by error_analysis: grouping accuracy at several scales and noise levels beside
grouping by masked text alone, lines a second of processor time, and peak memory, within 30 s and 500 MB at 1,000,000.

Grouping accuracy as LogPAI defines it: the share of lines whose group is exactly the lines of their template (J. Zhu et
al.: Tools and Benchmarks for Automated Log Parsing, ICSE-SEIP 2019). Its figure for Drain over 16 public logs of 2,000
lines, each with settings of its own, is 0.865. Noise lines are counted, each as a template of its own."""

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Hashable, Sequence

from benchmarks.log_corpus import corpus
from swarmtally.logreading.formats import Formats
from swarmtally.logreading.masking import Masks
from swarmtally.logreading.reading import Reader

LIMIT_S = 30.0
LIMIT_MB = 500.0
PUBLISHED = 0.865
SCALES = ((2_000, 40), (20_000, 120), (200_000, 400))
"""Lines and templates."""
NOISE = (0.0, 0.01, 0.1)

_CHILD = """
import json, resource, sys, time
from itertools import islice
from pathlib import Path
from benchmarks.log_corpus import corpus
from swarmtally.logreading.reading import Reader

def peak_mb():
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)

count, templates, noise = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
reader, spent, given = Reader(), 0.0, corpus(count, templates=templates, noise=noise)
while part := [line.text for line in islice(given, 20_000)]:
    started = time.process_time()
    reader.feed(part)
    spent += time.process_time() - started
started = time.process_time()
reading = reader.result()
spent += time.process_time() - started
print(json.dumps({"s": spent, "mb": peak_mb(), "templates": len(reading.templates), "entries": reading.entries}))
"""


def run(smoke: bool) -> list[str]:
    lines = [f"published for Drain over LogPAI's 16 logs: {PUBLISHED}"]
    for count, templates in SCALES[:1] if smoke else SCALES:
        for noise in NOISE:
            ours, masked, found = _accuracy(count, templates, noise)
            lines.append(
                f"{count:7} lines, {templates:3} templates, noise {noise:4.0%}: grouping accuracy {ours:.3f}"
                f" (masked text alone {masked:.3f}), {found} groups"
            )
    for count, noise in ((20_000, 0.01),) if smoke else ((100_000, 0.01), (1_000_000, 0.01), (1_000_000, 0.1)):
        seen = _read(count, noise)
        kept = seen["s"] <= LIMIT_S and seen["mb"] <= LIMIT_MB
        lines.append(
            f"{count:7} lines, noise {noise:4.0%}: {seen['s']:6.2f} s processor time, {count / seen['s']:7.0f} lines/s,"
            f" peak {seen['mb']:4.0f} MB, {seen['templates']:.0f} templates;"
            f" limits {LIMIT_S:.0f} s, {LIMIT_MB:.0f} MB {'held' if kept else 'NOT HELD'}"
        )
    return lines


def _accuracy(count: int, templates: int, noise: float) -> tuple[float, float, int]:
    """Of the reader, of masked text alone, and the reader's number of groups."""
    given = list(corpus(count, templates=templates, noise=noise))
    truth = [line.template for line in given]
    reader = Reader(keep_lines=True)
    reader.feed(line.text for line in given)
    group = [""] * count
    found = reader.result().templates
    for template in found:
        for line in template.lines:
            group[line] = template.key
    formats, masks = Formats(), Masks()
    masked = [" ".join(masks[word] for word in formats.head(line.text).message.split()) for line in given]
    return grouping_accuracy(group, truth), grouping_accuracy(masked, truth), len(found)


def grouping_accuracy(groups: Sequence[Hashable], truth: Sequence[Hashable]) -> float:
    """The share of lines whose group has exactly the lines that have the same truth."""
    of_group, of_truth = defaultdict(list), defaultdict(list)
    for number, (group, true) in enumerate(zip(groups, truth, strict=True)):
        of_group[group].append(number)
        of_truth[true].append(number)
    return sum(len(lines) for lines in of_group.values() if of_truth[truth[lines[0]]] == lines) / len(truth)


def _read(count: int, noise: float) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(count), "200", str(noise)], check=True, capture_output=True, text=True
    )
    seen: dict[str, float] = json.loads(done.stdout)
    return seen
