"""How well a target is documented: what it offers and says of it, its README, links that lead somewhere."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from swarmtally.quality import documented, links
from swarmtally.quality.facts import FileFacts
from swarmtally.quality.languages import is_test
from swarmtally.quality.model import MAX_FINDINGS, Assessment, Criterion, Finding, Measure, SourceFile, Sources

WEIGHTS = {"public": 6, "readme": 2, "links": 2}
"""What each part counts in the score; a part that does not apply is left out of the mean."""

README_WORDS = 100
"""Words from which on a README counts in full."""

_METHOD = (
    f"10 x mean of documented share of what is public (weight {WEIGHTS['public']}), min(1, words of the README / "
    f"{README_WORDS}) ({WEIGHTS['readme']}), share of links that lead somewhere ({WEIGHTS['links']})"
)

_NONE: Mapping[str, FileFacts] = MappingProxyType({})

_README = re.compile(r"(?:.*/)?readme(?:\.\w+)?", re.IGNORECASE)


def assess_documentation(sources: Sources, measured: Mapping[str, FileFacts] = _NONE) -> Assessment:
    """The score, measures and findings for `documentation`; see docs/quality.md for the formula.

    Args:
        measured: what is known of files already, by path; others are read here.
    """
    code = [file for file in sources.files if not file.is_test and file.code_lines]
    if not code and not sources.documents:
        reason = "the target holds neither code nor documents"
        return Assessment(Criterion.DOCUMENTATION, None, reason, _METHOD, 0, (), (), ())
    parts: dict[str, float] = {}
    counts, public_measures, undocumented = _public(code, measured)
    readme_measure, missing = _readme(sources)
    link_count, link_measure, broken = _links(sources)
    if counts["all"]:
        parts["public"] = counts["documented"] / counts["all"]
    if readme_measure.value is not None:
        parts["readme"] = min(1.0, readme_measure.value / README_WORDS)
    if link_measure.value is not None:
        parts["links"] = link_measure.value
    if not parts:
        reason = "the target is a part of a project and holds nothing public, no README and no links to files"
        return Assessment(Criterion.DOCUMENTATION, None, reason, _METHOD, 0, (), (), ())
    score = 10 * sum(WEIGHTS[name] * value for name, value in parts.items()) / sum(WEIGHTS[name] for name in parts)
    findings = sorted((*missing, *broken, *undocumented), key=lambda one: (-one.weight, one.file, one.line))
    return Assessment(
        Criterion.DOCUMENTATION,
        round(score, 2),
        None,
        _METHOD,
        counts["all"] + link_count + (readme_measure.value is not None),
        (*public_measures, readme_measure, link_measure),
        tuple(findings[:MAX_FINDINGS]),
        tuple(sorted({file.language for file in code} & documented.LANGUAGES)),
    )


def _public(
    code: Sequence[SourceFile], measured: Mapping[str, FileFacts]
) -> tuple[Counter[str], list[Measure], list[Finding]]:
    counts: Counter[str] = Counter()
    findings: list[Finding] = []
    for file in code:
        known = measured.get(file.path)
        for one in (documented.offered(file) if known is None else known.offered) or ():
            counts["all"] += 1
            counts["documented"] += one.documented
            if not one.documented:
                findings.append(_undocumented(file, one))
    if counts["all"]:
        share = round(counts["documented"] / counts["all"], 4)
        return counts, [Measure("public_documented", share, f"share of {counts['all']} public declarations")], findings
    others = sorted({file.language for file in code} - documented.LANGUAGES)
    reason = f"what is public in {', '.join(others)} is not known" if others else "nothing public was found"
    return counts, [Measure("public_documented", None, "share of public declarations", reason)], findings


def _undocumented(file: SourceFile, one: documented.Offered) -> Finding:
    what = "this module" if one.kind == "module" else f"{one.kind} {one.name}"
    return Finding(
        Criterion.DOCUMENTATION,
        file.path,
        one.line,
        f"undocumented-public-{one.kind}",
        f"{what} is public and does not say what it is for",
        "say in a line what it is for, or make it private",
        2.0 if one.kind in ("module", "class") else 1.0,
    )


def _readme(sources: Sources) -> tuple[Measure, list[Finding]]:
    """How many words the README nearest to the root has, and a finding where that is too few."""
    found = [one for one in sources.documents if _README.fullmatch(one.path) and not is_test(one.path)]
    nearest = min(found, key=lambda one: (one.path.count("/"), -len(one.text)), default=None)
    if nearest is None and sources.is_part:
        return Measure("readme_words", None, "words", "a part of a project needs no README of its own"), []
    path, words = (nearest.path, len(nearest.text.split())) if nearest else ("README.md", 0)
    measure = Measure("readme_words", float(words), "words")
    if words >= README_WORDS:
        return measure, []
    told = f"the README has {words} words" if found else "there is no README"
    fix = f"say what it is, how it is installed and used; {README_WORDS} words count in full"
    rule = "readme-short" if found else "readme-missing"
    return measure, [Finding(Criterion.DOCUMENTATION, path, 1, rule, told, fix, 5.0)]


def _links(sources: Sources) -> tuple[int, Measure, list[Finding]]:
    count = 0
    findings: list[Finding] = []
    for document in sources.documents:
        for link in links.links(document) if document.language == "markdown" else ():
            if link.path is None:
                continue
            count += 1
            if not links.leads_somewhere(sources.root, link.path):
                findings.append(
                    Finding(
                        Criterion.DOCUMENTATION,
                        document.path,
                        link.line,
                        "broken-link",
                        f"{link.written[:200]} leads nowhere",
                        "correct the path, or remove the link",
                        3.0,
                    )
                )
    unit = f"share of {count} links to files" if count else "share of links to files"
    if not count:
        return 0, Measure("links_intact", None, unit, "no Markdown document links to a file"), []
    return count, Measure("links_intact", round(1 - len(findings) / count, 4), unit), findings
