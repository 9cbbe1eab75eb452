"""The rows of the comparison of hashing methods: what each is, and which of the paper's tables it stands in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from sketchdata.errors import ConfigError
from sketchdata.names import names_in
from sketchdata.shallow_hashing import SHALLOW_HASHERS

#: The run that has the branches which many rows share.
BRANCHES = "branches"


class Kind(str, Enum):
    """How a row comes to its codes."""

    HASHING = "hashing"
    BASELINE = "baseline"
    RECIPE = "recipe"
    SHALLOW = "shallow"
    RECOGNITION = "recognition"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A method, at a code length where it has one.

    Attributes:
        name: Of its files: `cr-scl-ql-64`.
        kind: How it is trained or fitted.
        method: What is trained or fitted.
        title: For people.
        table: Of the paper: II, III, V, VII, or `ours` for our ablations.
        bits: D; 0 of recognition.
        branch: `cnn` or `cr`; of a shallow method its features, `deep` or `hog`.
        loss: Of the paper's own rows.
        unseen: Classes that are held out.
    """

    name: str
    kind: Kind
    method: str
    title: str = ""
    table: str = ""
    bits: int = 0
    branch: str = "cr"
    loss: str = ""
    unseen: int = 0

    @property
    def key(self) -> str:
        """The name without the length, which is the same in all tables."""
        return self.name.removesuffix(f"-{self.bits}").removeprefix("unseen-")

    @property
    def needs_points(self) -> bool:
        """Whether bitmaps are not enough."""
        alone = self.branch == "cnn" or self.kind in (Kind.BASELINE, Kind.SHALLOW)
        return not (alone or (self.kind is Kind.RECIPE and self.method != "sketchcode-ink"))


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
#: {row: what it changes of the recipe}.
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
#: What the paper's zero-shot table has, and ours.
_ZERO_SHOT = ("dlbhc", "dsh-sketch", "cr-scl-ql", "sketchcode")


def all_rows(lengths: tuple[int, ...], fixed: int, unseen: int) -> Iterator[Row]:
    """Yield every row: the deep methods at each length, shallow ones, recognition, and what has one length only."""
    names = [*_BASELINES, *_HASHING, "sketchcode"]
    for bits in lengths:
        yield from (_deep(name, bits) for name in names)
    for name, title in _ABLATION_TITLES.items():
        yield Row(name=f"{name}-{fixed}", kind=Kind.RECIPE, method=name, title=title, table="ours", bits=fixed)
    for bits in lengths:
        yield from (_shallow(name, features, bits) for features in ("deep", "hog") for name in SHALLOW_HASHERS)
    for name, (method, loss, title) in _RECOGNITION.items():
        branch = "cr" if method == "cr" else "cnn"
        yield Row(name=name, kind=Kind.RECOGNITION, method=method, title=title, table="V", branch=branch, loss=loss)
    if unseen:
        yield from (_deep(name, fixed, unseen) for name in _ZERO_SHOT)


def _deep(name: str, bits: int, unseen: int = 0) -> Row:
    facts: dict[str, Any] = {
        "name": f"{'unseen-' if unseen else ''}{name}-{bits}",
        "table": "VII" if unseen else "II",
        "bits": bits,
        "unseen": unseen,
    }
    if name in _HASHING:
        branch, loss, title = _HASHING[name]
        return Row(**facts, kind=Kind.HASHING, method=name, title=title, branch=branch, loss=loss)
    if name in _BASELINES:
        return Row(**facts, kind=Kind.BASELINE, method=name, title=_BASELINES[name], branch="cnn")
    return Row(**facts, kind=Kind.RECIPE, method=name, title="sketchcode, ours")


def _shallow(name: str, features: str, bits: int) -> Row:
    title = f"{_SHALLOW_TITLES[name]}, {'deep features' if features == 'deep' else 'HOG'}"
    return Row(
        name=f"{name}-{features}-{bits}",
        kind=Kind.SHALLOW,
        method=name,
        title=title,
        table="III",
        bits=bits,
        branch=features,
    )


def chosen_rows(names: str, lengths: str, fixed: int, unseen: int) -> list[Row]:
    """Return the rows that are asked for.

    Args:
        names: Comma-separated row names, with or without a length: `cr-cel` or `cr-cel-64`; or the start of several
            with a star, such as `unseen-*`; or `all`.
        lengths: Comma-separated code lengths.
        fixed: The length of zero-shot rows and ablations.
        unseen: Classes that zero-shot rows do not see; 0 for no such rows.

    Raises:
        ConfigError: There is no such row or length.
    """
    try:
        bits = tuple(dict.fromkeys(map(int, names_in(lengths))))
    except ValueError:
        bits = ()
    if not bits or min(bits) < 1:
        raise ConfigError(f"--bits takes lengths such as 16,64, not {lengths!r}")
    if unseen == 1:
        raise ConfigError("--unseen takes 2 classes at least, as one alone is always found; or 0 for no such rows")
    rows = list(all_rows(bits, fixed, unseen))
    wanted = names_in(names)
    if "all" in wanted:
        return rows
    found: dict[str, Row] = {}
    for name in wanted:
        own = [row for row in rows if _matches(row, name)]
        if not own:
            known = dict.fromkeys(row.name.removesuffix(f"-{row.bits}") for row in rows)
            raise ConfigError(f"there is no row {name!r}: choose from {', '.join(known)}, or all")
        found |= {row.name: row for row in own}
    return [row for row in rows if row.name in found]


def without_centers(row: Row) -> Row:
    """Return the row of the same network that learns by cross entropy alone."""
    return replace(row, name=row.name.replace(row.key, "cr-cel"), method="cr-cel", loss="cel")


def _matches(row: Row, name: str) -> bool:
    short = row.name.removesuffix(f"-{row.bits}")
    return name in (row.name, short) or (name.endswith("*") and row.name.startswith(name[:-1]))
