"""The evaluation of zero-shot recognition as Markdown: what was measured, chance beside it, and where it goes wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sketchdata.zero_shot.measures import RANKS

_NONE = "–"
_SIDES = ("unseen", "seen", "harmonic")
_STACKS = ("harmonic", "harmonic_calibrated")

Values = Mapping[str, Any]


def zero_shot_markdown(values: Values, picture: str) -> str:
    """Return what `evaluate_zero_shot` measured as a page.

    Args:
        values: What it returned.
        picture: The file of the picture of embeddings.
    """
    chosen = values["recognisers"][values["chosen"]]
    name = _cell(values["chosen"])
    lines = [f"# Zero-shot recognition of {_cell(values['split'])}", "", *_definition(values), ""]
    lines += ["## Recognisers", "", *_recognisers(values), "", *_warnings(values["recognisers"])]
    lines += [f"## Where {name} stands", "", f"![embeddings and prototypes]({picture})", ""]
    lines += ["### Classes", "", *_classes(chosen), "", "### Most confused", "", *_confusions(chosen), ""]
    return "\n".join([*lines, "### Hubs", "", *_hubs(chosen)]) + "\n"


def _definition(values: Values) -> Iterator[str]:
    drawings, classes = values["drawings"], values["classes"]
    unseen, seen = len(classes["unseen"]), len(classes["seen"])
    whole = unseen + seen
    yield (
        f"{drawings['unseen']:,} drawings of {unseen:,} unseen classes and {drawings['seen']:,} of {seen:,} seen ones, "
        f"all of {_cell(values['split'])}; of the seen classes, {len(classes['validation']):,} are those by which "
        f"choices were made. Chance of hit@1 is {1 / unseen:.4f} among unseen classes and {1 / whole:.4f} among all."
    )
    if classes["left_out"]:
        words = ", ".join(map(_cell, classes["left_out"]))
        yield ""
        yield f"Left out of the experiment: {words}."
    yield ""
    yield (
        "ZSL hit@k: the share of drawings of unseen classes whose class is among the k likeliest unseen classes. "
        "GZSL hit@k: the same drawings, and the k likeliest of all classes, as in the paper (Xu et al., Tables IX and "
        "X). Equal scores count as in random order."
    )
    yield ""
    yield (
        "U and S: the accuracy among all classes on drawings of unseen and of seen classes, averaged over classes; H: "
        "their harmonic mean (Xian et al., TPAMI 2019). With γ: a constant, chosen by validation classes, is taken off "
        "the scores of seen classes (Chao et al., ECCV 2016). N_k: the skewness of how often each unseen class is "
        "among the k likeliest unseen ones; high where a few hubs attract drawings of all others."
    )
    yield ""
    yield _choice(values)


def _choice(values: Values) -> str:
    how = "by validation classes, before any drawing of an unseen class was looked at"
    if values["recognisers"][values["chosen"]]["validation_hit"] is None:
        how = "as the first by name, since there were no validation classes to choose by"
    return (
        f"**{_cell(values['chosen'])}** is the chosen one: {how}, and never by this table. The others stand here for "
        "comparison; to take the best of them would be to choose by the unseen classes."
    )


def _recognisers(values: Values) -> Iterator[str]:
    hits = [f"{title} hit@{k}" for title in ("ZSL", "GZSL") for k in RANKS]
    heads = ["recogniser", "validation hit@1", *hits, "U", "S", "H", "γ", "U, γ", "S, γ", "H, γ", "N_1", "N_10"]
    yield f"| {' | '.join(heads)} |"
    yield f"|---|{'--:|' * (len(heads) - 1)}"
    first = next(iter(values["recognisers"].values()))
    level = first["chance"]
    cells = [_number(first[part]["chance"].get(f"hit@{k}")) for part in ("zsl", "gzsl") for k in RANKS]
    sides = [_number(level["harmonic"])] * 3 if "harmonic" in first else [_NONE] * 3
    tails = [_number(level["hubness"].get(f"N_{k}"), 2) for k in (1, 10)]
    validation = _number(level["validation"])
    yield f"| *chance* | {' | '.join([validation, *cells, *sides, '', *sides, *tails])} |"
    for name, own in values["recognisers"].items():
        yield f"| {' | '.join([_title(name, values['chosen']), *_measures(own)])} |"


def _measures(own: Values) -> list[str]:
    sides = [[_number(own[stack][side]) if stack in own else _NONE for side in _SIDES] for stack in _STACKS]
    return [
        _number(own["validation_hit"]),
        *(_number(own[part].get(f"hit@{k}")) for part in ("zsl", "gzsl") for k in RANKS),
        *sides[0],
        f"{own['gamma']:.4g}",
        *sides[1],
        *(_number(own["hubness"].get(f"N_{k}"), 2) for k in (1, 10)),
    ]


def _title(name: str, chosen: str) -> str:
    return f"**{_cell(name)}** (chosen)" if name == chosen else _cell(name)


def _warnings(recognisers: Mapping[str, Values]) -> Iterator[str]:
    below = [(name, each) for name, own in recognisers.items() for each in own["below_chance"]]
    if not below:
        return
    yield "**Warning: below chance.** Guessing would have done better than:"
    yield ""
    for name, each in below:
        yield f"- {_cell(name)}: {each['measure']} {each['value']:.4f}, chance {each['chance']:.4f}"
    yield ""
    if any(each["measure"].startswith(("GZSL", "U")) for _, each in below):
        yield (
            "Among all classes, drawings of unseen classes are easily taken for seen ones, whose prototypes were "
            "learnt from drawings; γ makes up for that."
        )
        yield ""


def _classes(chosen: Values) -> Iterator[str]:
    yield "| class | drawings | ZSL hit@1 | GZSL hit@1 | GZSL hit@1, γ | most often taken for | share of the class |"
    yield "|---|--:|--:|--:|--:|---|--:|"
    level, whole = chosen["zsl"]["chance"]["hit@1"], chosen["gzsl"]["chance"]["hit@1"]
    yield f"| *chance* | | {level:.4f} | {whole:.4f} | {whole:.4f} | | |"
    by_class = chosen["by_class"]
    for word in sorted(by_class, key=lambda word: (by_class[word]["zsl"], word)):
        own = by_class[word]
        other = _NONE if own["taken_for"] is None else _cell(own["taken_for"])
        yield (
            f"| {_cell(word)} | {own['drawings']:,} | {own['zsl']:.4f} | {own['gzsl']:.4f} | {own['calibrated']:.4f} | "
            f"{other} | {own['share']:.3f} |"
        )
    yield ""
    yield "The worst first; what a class is taken for is another unseen class."


def _confusions(chosen: Values) -> Iterator[str]:
    if not chosen["confusions"]:
        yield "No drawing was taken for one of another unseen class."
        return
    yield "| class | taken for | drawings | share of the class |"
    yield "|---|---|--:|--:|"
    for pair in chosen["confusions"]:
        yield (f"| {_cell(pair['class'])} | {_cell(pair['taken_for'])} | {pair['drawings']:,} | {pair['share']:.3f} |")


def _hubs(chosen: Values) -> Iterator[str]:
    yield "Classes that more drawings of unseen classes are taken for than there are of them."
    for name, among in (("unseen", "Among unseen classes"), ("all", "Among all classes, without γ")):
        yield ""
        if not chosen["hubs"][name]:
            yield f"{among}: none."
            continue
        yield from _hub_table(among, chosen["hubs"][name])


def _hub_table(among: str, hubs: Sequence[Values]) -> Iterator[str]:
    yield f"{among}:"
    yield ""
    yield "| class | drawings of it | taken for it | |"
    yield "|---|--:|--:|---|"
    for hub in hubs:
        kind = "seen" if hub["seen"] else "unseen"
        yield f"| {_cell(hub['class'])} | {hub['drawings']:,} | {hub['predicted']:,} | {kind} |"


def _cell(text: str) -> str:
    """Return a name so that it stays text within a cell: no markup, and no new cell or line."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text)
    return "".join(f"\\{letter}" if letter in r"\`*[]<>|&~" else letter for letter in plain)


def _number(value: float | None, digits: int = 4) -> str:
    return _NONE if value is None else f"{value:.{digits}f}"
