"""The comparison of hashing methods: its rows, the published figures and the tables in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from sketchdata.errors import ConfigError
from sketchdata.names import names_in
from sketchdata.retrieval.code_evaluation import cost_table
from sketchdata.retrieval.metrics import chance_of_map
from sketchdata.retrieval.shallow_hashing import SHALLOW_HASHERS

# Published figures. Source: Xu et al., "On Learning Semantic Representations for Million-Scale Free-Hand Sketches",
# Tables II to VII, on QuickDraw-3.8M. The paper states neither the order of equal distances nor its definition of
# average precision.

Value = TypeVar("Value")
#: Code lengths of the tables' columns.
BITS = (16, 24, 32, 64)


def _columns(*values: Value) -> dict[int, Value]:
    return dict(zip(BITS, values, strict=True))


#: Table II: {row: {bits: mean average precision}}.
MAP: dict[str, dict[int, float]] = {
    "dlbhc": _columns(0.5453, 0.5910, 0.6109, 0.6241),
    "dsh-pair": _columns(0.0512, 0.0498, 0.0501, 0.0531),
    "dsh-sketch": _columns(0.3855, 0.4459, 0.4935, 0.6065),
    "greedyhash": _columns(0.4127, 0.4520, 0.4911, 0.5816),
    "cr-cel": _columns(0.5969, 0.6196, 0.6412, 0.6525),
    "cr-cl": _columns(0.5567, 0.5856, 0.5911, 0.6136),
    "cr-scl": _columns(0.6016, 0.6371, 0.6473, 0.6767),
    "cr-scl-ql": _columns(0.6064, 0.6388, 0.6521, 0.6791),
    # Table III: shallow methods on a deep feature of width 256, and on histograms of oriented gradients.
    "pca_itq-deep": _columns(0.4414, 0.5301, 0.5655, 0.6148),
    "lsh-deep": _columns(0.3327, 0.4472, 0.5001, 0.5801),
    "sh-deep": _columns(0.4177, 0.5102, 0.5501, 0.5956),
    "sklsh-deep": _columns(0.0148, 0.0287, 0.0351, 0.0605),
    "dsh_density-deep": _columns(0.3451, 0.4359, 0.4906, 0.5718),
    "pcah-deep": _columns(0.4375, 0.5224, 0.5576, 0.6056),
    "sdh-deep": _columns(0.5781, 0.6045, 0.6133, 0.6273),
    "cca_itq-deep": _columns(0.3638, 0.4623, 0.5168, 0.5954),
    "pca_itq-hog": _columns(0.0222, 0.0237, 0.0254, 0.0266),
    "lsh-hog": _columns(0.0110, 0.0121, 0.0128, 0.0167),
    "sh-hog": _columns(0.0166, 0.0161, 0.0156, 0.0157),
    "sklsh-hog": _columns(0.0096, 0.0105, 0.0108, 0.0127),
    "dsh_density-hog": _columns(0.0186, 0.0183, 0.0224, 0.0243),
    "pcah-hog": _columns(0.0166, 0.0161, 0.0155, 0.0146),
    "sdh-hog": _columns(0.0160, 0.0186, 0.0219, 0.0282),
    "cca_itq-hog": _columns(0.0185, 0.0195, 0.0208, 0.0239),
}
#: Table II: {row: {bits: precision among the first 200}}.
PRECISION: dict[str, dict[int, float]] = {
    "dlbhc": _columns(0.5142, 0.5917, 0.6169, 0.6403),
    "dsh-pair": _columns(0.0510, 0.0512, 0.0501, 0.0454),
    "dsh-sketch": _columns(0.3486, 0.4329, 0.4823, 0.6040),
    "greedyhash": _columns(0.3896, 0.4511, 0.4733, 0.5901),
    "cr-cel": _columns(0.5817, 0.6292, 0.6524, 0.6730),
    "cr-cl": _columns(0.5578, 0.6038, 0.6140, 0.6412),
    "cr-scl": _columns(0.5928, 0.6298, 0.6543, 0.6875),
    "cr-scl-ql": _columns(0.5978, 0.6324, 0.6603, 0.6882),
}
#: Table V: {row: accuracy on the gallery}.
ACCURACY = {
    "sketch-a-net": 0.6871,
    "resnet50": 0.7864,
    "recognise-cnn": 0.7376,
    "recognise-rnn": 0.7788,
    "recognise-cel": 0.7949,
    "recognise-scl": 0.8051,
}
#: Table VI: {row: {bits: (d1, d2, d1/d2)}}.
SPREAD: dict[str, dict[int, tuple[float, float, float]]] = {
    "cr-cel": _columns(
        (0.7501, 4.9764, 0.1665), (1.236, 6.1266, 0.2017), (2.0066, 8.919, 0.225), (4.704, 15.4719, 0.304)
    ),
    "cr-cl": _columns(
        (0.5297, 3.2841, 0.1721), (0.8285, 4.0388, 0.2051), (1.5124, 7.312, 0.2068), (3.5828, 14.1112, 0.2539)
    ),
    "cr-scl": _columns(
        (0.5078, 4.2581, 0.1257), (0.6801, 5.0221, 0.1354), (1.0792, 7.534, 0.1432), (1.6109, 11.6815, 0.1379)
    ),
    "cr-scl-ql": _columns(
        (0.58, 4.8537, 0.129), (0.8568, 6.2243, 0.1377), (1.2468, 8.6675, 0.1439), (2.5231, 17.6179, 0.1432)
    ),
}
#: Table VII, at one code length: {row: mean average precision among 20 unseen classes}.
ZERO_SHOT_BITS = 32
ZERO_SHOT = {"dlbhc": 0.7094, "dsh-sketch": 0.5334, "cr-scl-ql": 0.7547}


#: Name of the run that trains the branches shared by rows.
BRANCHES = "branches"


class RowKind(str, Enum):
    """How a row's codes are made."""

    HASHING = "hashing"
    BASELINE = "baseline"
    RECIPE = "recipe"
    SHALLOW = "shallow"
    RECOGNITION = "recognition"


@dataclass(frozen=True, kw_only=True)
class HashingRow:
    """A method, at one code length if it has codes.

    Attributes:
        name: Base name of its files, such as `cr-scl-ql-64`.
        kind: How its codes are made.
        method: The method's name.
        title: Human-readable title.
        table: Table of the paper: II, III, V, VII, or `ours` for our ablations.
        bits: D; 0 for recognition.
        branch: `cnn`, `rnn` or `cr`; for a shallow method its features, `deep` or `hog`.
        loss: Loss of the paper's rows.
        unseen: Number of unseen classes.
    """

    name: str
    kind: RowKind
    method: str
    title: str = ""
    table: str = ""
    bits: int = 0
    branch: str = "cr"
    loss: str = ""
    unseen: int = 0

    @property
    def key(self) -> str:
        """The name without the code length, which all tables use."""
        return self.name.removesuffix(f"-{self.bits}").removeprefix("unseen-")

    @property
    def needs_points(self) -> bool:
        """Whether the row needs points, which bitmaps do not have."""
        alone = self.branch == "cnn" or self.kind in (RowKind.BASELINE, RowKind.SHALLOW)
        return not (alone or (self.kind is RowKind.RECIPE and self.method != "sketchcode-ink"))


#: {row: (branch, loss, title)} of the trainer `hashing`.
_HASHING = {
    "dlbhc": ("cnn", "cel", "DLBHC"),
    "cr-cel": ("cr", "cel", "CR + CEL"),
    "cr-cl": ("cr", "cel+cl", "CR + CEL + CL"),
    "cr-scl": ("cr", "cel+scl", "CR + CEL + SCL"),
    "cr-scl-ql": ("cr", "cel+scl+ql", "CR + CEL + SCL + QL"),
}
_BASELINES = {
    "dsh-pair": "DSH-Supervised",
    "dsh-sketch": "DSH-Sketch, reduced",
    "greedyhash": "GreedyHash",
    "csq": "CSQ",
    "orthohash": "OrthoHash",
}
#: {row: its changes of sketchcode's options}.
ABLATIONS: dict[str, dict[str, Any]] = {
    "sketchcode-ink": {"channels": "ink"},
    "sketchcode-no-margin": {"margin": 0.0},
    "sketchcode-learned": {"centers": "learned"},
    "sketchcode-random": {"centers": "random"},
    "sketchcode-hadamard": {"centers": "hadamard"},
    "sketchcode-no-teacher": {"distillation": 0.0},
}
_ABLATION_TITLES = {
    "sketchcode-ink": "without stroke channels",
    "sketchcode-no-margin": "without the margin",
    "sketchcode-learned": "directions stay learned, no centres",
    "sketchcode-random": "random centres",
    "sketchcode-hadamard": "Hadamard centres",
    "sketchcode-no-teacher": "without self-distillation",
}
#: {row: (backbone or branch, loss, title)} of the trainer `recognition`.
_RECOGNITION = {
    "sketch-a-net": ("sketch-a-net", "cel", "Sketch-a-Net"),
    "resnet50": ("resnet50", "cel", "ResNet-50"),
    "recognise-cnn": ("cnn", "cel", "picture branch alone"),
    "recognise-rnn": ("rnn", "cel", "point branch alone"),
    "recognise-cel": ("cr", "cel", "CR + CEL"),
    "recognise-scl": ("cr", "cel+scl", "CR + CEL + SCL"),
}
_SHALLOW_TITLES = {
    "lsh": "LSH",
    "pcah": "PCAH",
    "pca_rr": "PCA-RR",
    "pca_itq": "PCA-ITQ",
    "sh": "SH",
    "sklsh": "SKLSH",
    "dsh_density": "DSH",
    "sdh": "SDH",
    "cca_itq": "CCA-ITQ",
}
#: Rows of the paper's zero-shot table, and ours.
_ZERO_SHOT = ("dlbhc", "dsh-sketch", "cr-scl-ql", "sketchcode")


def all_rows(lengths: tuple[int, ...], fixed: int, unseen: int) -> Iterator[HashingRow]:
    """Yield every row: retrieval at each length, and recognition, ablations and zero-shot rows at one length."""
    names = [*_BASELINES, *_HASHING, "sketchcode"]
    for bits in lengths:
        yield from (_deep(name, bits) for name in names)
    for name, title in _ABLATION_TITLES.items():
        yield HashingRow(
            name=f"{name}-{fixed}", kind=RowKind.RECIPE, method=name, title=title, table="ours", bits=fixed
        )
    for bits in lengths:
        for features, title in (("deep", "deep features"), ("hog", "HOG")):
            for name in SHALLOW_HASHERS:
                yield HashingRow(
                    name=f"{name}-{features}-{bits}",
                    kind=RowKind.SHALLOW,
                    method=name,
                    title=f"{_SHALLOW_TITLES[name]}, {title}",
                    table="III",
                    bits=bits,
                    branch=features,
                )
    for name, (method, loss, title) in _RECOGNITION.items():
        branch = method if method in ("cr", "rnn") else "cnn"
        yield HashingRow(
            name=name, kind=RowKind.RECOGNITION, method=method, title=title, table="V", branch=branch, loss=loss
        )
    if unseen:
        yield from (_deep(name, fixed, unseen) for name in _ZERO_SHOT)


def _deep(name: str, bits: int, unseen: int = 0) -> HashingRow:
    facts: dict[str, Any] = {
        "name": f"{'unseen-' if unseen else ''}{name}-{bits}",
        "table": "VII" if unseen else "II",
        "bits": bits,
        "unseen": unseen,
    }
    if name in _HASHING:
        branch, loss, title = _HASHING[name]
        return HashingRow(**facts, kind=RowKind.HASHING, method=name, title=title, branch=branch, loss=loss)
    if name in _BASELINES:
        return HashingRow(**facts, kind=RowKind.BASELINE, method=name, title=_BASELINES[name], branch="cnn")
    return HashingRow(**facts, kind=RowKind.RECIPE, method=name, title="sketchcode, ours")


def chosen_rows(names: str, lengths: str, fixed: int, unseen: int) -> list[HashingRow]:
    """Return the rows that the options of a command choose.

    Args:
        names: Comma-separated names of rows with or without a length, such as `cr-cel` or `cr-cel-64`; prefixes with a
            star, such as `unseen-*`; or `all`.
        lengths: Comma-separated code lengths.
        fixed: Code length of zero-shot rows and ablations.
        unseen: Number of unseen classes of zero-shot rows; 0 leaves these rows out.

    Raises:
        ConfigError: The row or length does not exist.
    """
    try:
        bits = tuple(dict.fromkeys(map(int, names_in(lengths))))
    except ValueError:
        bits = ()
    if not bits or min(bits) < 1:
        raise ConfigError(f"--bits takes lengths such as 16,64, not {lengths!r}")
    if unseen == 1:
        raise ConfigError("--unseen must be 0, for no such rows, or at least 2, as a single class is always found")
    rows = list(all_rows(bits, fixed, unseen))
    wanted = names_in(names)
    if "all" in wanted:
        return rows
    found: dict[str, HashingRow] = {}
    for name in wanted:
        own = [
            row
            for row in rows
            if name in (row.name, row.name.removesuffix(f"-{row.bits}"))
            or (name.endswith("*") and row.name.startswith(name[:-1]))
        ]
        if not own:
            known = dict.fromkeys(row.name.removesuffix(f"-{row.bits}") for row in rows)
            raise ConfigError(f"there is no row {name!r}: choose from {', '.join(known)}, or all")
        found |= {row.name: row for row in own}
    return [row for row in rows if row.name in found]


_NONE = "–"


@dataclass(frozen=True, kw_only=True)
class MeasuredRow:
    """A row and its results for each seed: those of `retrieval`, `spread`, `cost`, `accuracy` … that apply."""

    row: HashingRow
    seeds: Sequence[Mapping[str, Any]]

    @property
    def first(self) -> Mapping[str, Any]:
        """The results of the first seed."""
        return self.seeds[0]

    def show(self, *path: str, digits: int = 4) -> str:
        """Return the mean of a value over the seeds, with the sample deviation if there are several."""
        numbers = []
        for values in self.seeds:
            found: Any = values
            for name in path:
                found = found.get(name) if isinstance(found, Mapping) else None
            if found is not None:
                numbers.append(float(found))
        if not numbers:
            return _NONE
        deviation = f" ± {statistics.stdev(numbers):.{digits}f}" if len(numbers) > 1 else ""
        return f"{statistics.fmean(numbers):,.{digits}f}{deviation}"


Column = tuple[str, Callable[[MeasuredRow], str]]


def markdown(facts: Mapping[str, Any], measured: Sequence[MeasuredRow]) -> str:
    """Return the tables that have rows, with notes on how to read them."""
    lines = ["# Hashing methods compared", "", *_notes(facts, measured)]
    for title, table in (
        ("Deep methods (Table II)", "II"),
        ("The contribution of each part of our recipe", "ours"),
        ("Shallow methods (Table III)", "III"),
        ("Zero-shot hashing (Table VII)", "VII"),
    ):
        chosen = [each for each in measured if each.row.table == table]
        if chosen:
            lines += ["", f"## {title}", "", *_table(chosen, _retrieval(chosen, table))]
        if chosen and table == "VII":
            found = chosen[0].first["retrieval"]
            level = chance_of_map(found["chance"], found["gallery"])
            lines += [
                "",
                f"{chosen[0].row.unseen} classes that no training saw. A random order has a mAP of {level:.4f}.",
            ]
    deep = [each for each in measured if each.row.table == "II" and "spread" in each.first]
    if deep:
        lines += ["", "## Spread of the classes (Table VI)", "", *_table(deep, _SPREADS)]
    costs = {cost["bits"]: each.first["cost"] for each in reversed(deep) for cost in each.first.get("cost", ())}
    if costs:
        lines += [
            "",
            "## Cost of a search (Table IV)",
            "",
            *cost_table([each for bits in sorted(costs) for each in costs[bits]]),
        ]
        lines += ["", next(iter(costs.values()))[0]["definition"]]
    recognition = [each for each in measured if each.row.kind is RowKind.RECOGNITION]
    if recognition:
        chance = f"{1 / facts['classes']:.4f}"
        columns: list[Column] = [
            ("network", lambda each: each.row.title),
            ("top-1 of gallery", lambda each: each.show("accuracy")),
            ("chance", lambda _: chance),
            *_COSTS_OF_TRAINING,
            ("paper's", lambda each: _number(ACCURACY.get(each.row.name))),
        ]
        lines += ["", "## Recognition (Table V)", "", *_table(recognition, columns)]
    return "\n".join(lines) + "\n"


def _table(measured: Sequence[MeasuredRow], columns: Sequence[Column]) -> Iterator[str]:
    yield f"| {' | '.join(title for title, _ in columns)} |"
    yield f"|---|{'--:|' * (len(columns) - 1)}"
    for each in measured:
        yield f"| {' | '.join(cell(each) for _, cell in columns)} |"


def _notes(facts: Mapping[str, Any], measured: Sequence[MeasuredRow]) -> Iterator[str]:
    drawings, options = facts["drawings"], facts["options"]
    seeds = (
        f"Mean ± sample deviation over {options['seeds']} seeds; bounds, intervals and pictures are of the first."
        if options["seeds"] > 1
        else "One seed each."
    )
    yield (
        f"{facts['classes']:,} classes: {drawings['train']:,} drawings to learn from, {drawings['val']:,} of val to "
        f"choose epochs; {drawings['query']:,} of query search {drawings['gallery']:,} of gallery, "
        f"which no training saw. {seeds} The paper's figures come from its own data, 345 classes and 345,000 drawings, "
        f"and cannot be compared with these."
    )
    yield ""
    yield (
        "Epochs are those after the branches, which learn alike for all rows. The paper's rows and the baselines have "
        "equally many: CR + CEL and DLBHC learn by cross entropy alone for as long as the others do with further terms."
    )
    found = [each.first["retrieval"] for each in measured if "retrieval" in each.first and not each.row.unseen]
    if found:
        yield ""
        level = chance_of_map(found[0]["chance"], found[0]["gallery"])
        yield f"A random order has a mean average precision of {level:.4f}. {found[0]['definition']}"
    yield ""
    yield (
        f"Network of the paper's rows: {options['backbone']} at {options['size']} pixels, a GRU of "
        f"{options['layers']} layers, {options['hidden']} wide; sketchcode's: {options['recipe_backbone']} at "
        f"{options['recipe_size'] or options['size']} pixels. Seconds are those of training on {facts['device']}, "
        f"{facts['threads']} threads, shared branches included; torch {facts['torch']}; seed {options['seed']}."
    )


_COSTS_OF_TRAINING: list[Column] = [
    ("epochs", lambda each: each.show("epochs", digits=0).split(" ")[0]),
    ("parameters", lambda each: f"{each.first['parameters']:,}"),
    ("seconds", lambda each: each.show("seconds", digits=0)),
]


def _paper_spread(place: int, digits: int) -> Callable[[MeasuredRow], str]:
    return lambda each: _number(SPREAD.get(each.row.key, {}).get(each.row.bits, (None,) * 3)[place], digits)


_SPREADS: list[Column] = [
    ("method", lambda each: each.row.title),
    ("bits", lambda each: str(each.row.bits)),
    ("d1", lambda each: each.show("spread", "d1")),
    ("d2", lambda each: each.show("spread", "d2")),
    ("d1/d2", lambda each: each.show("spread", "ratio", digits=3)),
    ("paper's d1", _paper_spread(0, 4)),
    ("paper's d2", _paper_spread(1, 4)),
    ("paper's d1/d2", _paper_spread(2, 3)),
]


def _retrieval(measured: Sequence[MeasuredRow], table: str) -> list[Column]:
    k = measured[0].first["retrieval"]["k"]
    columns: list[Column] = [
        ("method", lambda each: each.row.title),
        ("bits", lambda each: str(each.row.bits)),
        ("mAP", lambda each: each.show("retrieval", "map", "expected")),
        ("worst to best order of ties", lambda each: "{pessimistic:.4f} – {optimistic:.4f}".format_map(_map_of(each))),
        ("95 % over queries", lambda each: "{:.3f} – {:.3f}".format(*_map_of(each)["query_interval"])),
        (f"P@{k}", lambda each: each.show("retrieval", "precision_at_k", "expected")),
    ]
    if table in ("II", "ours"):
        columns.append(("top-1", lambda each: each.show("accuracy")))
    if table in ("ours", "VII"):
        columns.append(("d1/d2", lambda each: each.show("spread", "ratio", digits=3)))
    if table != "III":
        columns += _COSTS_OF_TRAINING
    if table != "ours":
        columns.append(("paper's mAP", _published))
    if table == "II":
        columns.append(("paper's P@200", lambda each: _number(PRECISION.get(each.row.key, {}).get(each.row.bits))))
    return columns


def _published(measured: MeasuredRow) -> str:
    row = measured.row
    if row.unseen:
        return _number(ZERO_SHOT.get(row.key) if row.bits == ZERO_SHOT_BITS else None)
    return _number(MAP.get(row.key, {}).get(row.bits))


def _map_of(measured: MeasuredRow) -> Mapping[str, Any]:
    found: Mapping[str, Any] = measured.first["retrieval"]["map"]
    return found


def _number(value: float | None, digits: int = 4) -> str:
    return _NONE if value is None else f"{value:.{digits}f}"
