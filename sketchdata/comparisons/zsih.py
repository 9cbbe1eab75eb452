"""The comparison of binary codes of drawings and photos: its rows, the published figures and the page in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sketchdata.retrieval.metrics import chance_of_map

#: The data sets of published figures.
PUBLISHED_DATA = ("Sketchy, 25 unseen", "TU-Berlin, 30 unseen")
#: mAP at 32, 64 and 128 bits on each of PUBLISHED_DATA. Source of all: Shen et al., "Zero-shot sketch-image hashing",
#: CVPR 2018, Tables 1 to 3.
TABLE_1: Mapping[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "ZSH": ((0.146, 0.165, 0.168), (0.132, 0.139, 0.153)),
    "CCA": ((0.092, 0.089, 0.084), (0.083, 0.074, 0.062)),
    "CMSSH": ((0.094, 0.096, 0.111), (0.073, 0.077, 0.080)),
    "CMFH": ((0.115, 0.116, 0.125), (0.114, 0.118, 0.135)),
    "SCM-Orth": ((0.105, 0.107, 0.093), (0.089, 0.092, 0.095)),
    "SCM-Seq": ((0.092, 0.100, 0.084), (0.084, 0.087, 0.072)),
    "CVH": ((0.076, 0.075, 0.072), (0.065, 0.061, 0.055)),
    "SePH-Rand": ((0.108, 0.097, 0.094), (0.071, 0.065, 0.070)),
    "SePH-KM": ((0.069, 0.066, 0.071), (0.067, 0.068, 0.065)),
    "DSH": ((0.137, 0.164, 0.165), (0.119, 0.122, 0.146)),
    "ZSIH": ((0.232, 0.254, 0.259), (0.201, 0.220, 0.234)),
}
#: mAP and P@100 on each of PUBLISHED_DATA.
TABLE_2: Mapping[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "Softmax, 4096 values": ((0.099, 0.176), (0.083, 0.139)),
    "Siamese CNN, 64 values": ((0.143, 0.183), (0.122, 0.153)),
    "SaN, 512 values": ((0.104, 0.129), (0.096, 0.112)),
    "GN Triplet, 1024 values": ((0.211, 0.310), (0.189, 0.241)),
    "3D Shape, 64 values": ((0.062, 0.070), (0.057, 0.063)),
    "DSH, 64 bits": ((0.164, 0.227), (0.122, 0.198)),
    "CMT, 300 values": ((0.084, 0.096), (0.065, 0.082)),
    "DeViSE, 300 values": ((0.071, 0.078), (0.067, 0.075)),
    "SSE, a value per seen class": ((0.108, 0.154), (0.096, 0.133)),
    "JLSE, a value per seen class": ((0.126, 0.178), (0.107, 0.165)),
    "SAE, 300 values": ((0.210, 0.302), (0.161, 0.210)),
    "ZSH, 64 bits": ((0.165, 0.217), (0.139, 0.174)),
    "ZSIH, 64 bits": ((0.254, 0.340), (0.220, 0.291)),
}


@dataclass(frozen=True, kw_only=True)
class ZsihRow:
    """A method with options.

    Attributes:
        name: Of its files.
        title: For people.
        changed: Options of `train zsih` that differ from the defaults.
        fitted: Of `CROSS_MODAL_HASHERS`, for a row that is fitted to features; None for a training.
        features: Method of `train sbir` whose vectors a fitted row reads: frozen, or sketchspace.
        published: mAP at 64 bits on each of PUBLISHED_DATA.
    """

    name: str
    title: str
    changed: Mapping[str, Any] = field(default_factory=dict)
    fitted: str | None = None
    features: str = "frozen"
    published: tuple[float, float] | None = None


#: The rows; published figures of the ablation are of Table 3.
ROWS: Sequence[ZsihRow] = (
    ZsihRow(name="cca", title="CCA, signs of its projections", fitted="cca", published=(0.089, 0.074)),
    ZsihRow(name="cvh", title="CVH", fitted="cvh", published=(0.075, 0.061)),
    ZsihRow(name="cmfh", title="CMFH", fitted="cmfh", published=(0.116, 0.118)),
    ZsihRow(name="scm-seq", title="SCM-Seq", fitted="scm_seq", published=(0.100, 0.087)),
    ZsihRow(name="pca", title="signs of PCA of features centred in each domain", fitted="pca"),
    ZsihRow(name="itq", title="ITQ of features centred in each domain", fitted="itq"),
    ZsihRow(
        name="ours-pca",
        title="signs of PCA of sketchspace's vectors centred in each domain",
        fitted="pca",
        features="sketchspace",
    ),
    ZsihRow(
        name="ours",
        title="ours: ITQ of sketchspace's vectors centred in each domain",
        fitted="itq",
        features="sketchspace",
    ),
    ZsihRow(name="zsih", title="ZSIH", published=(0.254, 0.220)),
    ZsihRow(name="concat", title="concatenation", changed={"fusion": "concat"}, published=(0.228, 0.207)),
    ZsihRow(name="mfb", title="MFB", changed={"fusion": "mfb"}, published=(0.236, 0.211)),
    ZsihRow(
        name="regularised", title="bit regularisation", changed={"neurons": "regularised"}, published=(0.187, 0.158)
    ),
    ZsihRow(
        name="classifier",
        title="classifier for the decoder",
        changed={"decoder": "classifier"},
        published=(0.162, 0.133),
    ),
    ZsihRow(name="no-graph", title="without graph convolutions", changed={"graph": "off"}, published=(0.233, 0.171)),
    ZsihRow(name="words", title="word vectors fused", changed={"graph": "words"}, published=(0.219, 0.176)),
    ZsihRow(name="t-1", title="t = 1", changed={"temperature": 1.0}, published=(0.062, 0.055)),
    ZsihRow(name="t-1e-6", title="t = 1e-6", changed={"temperature": 1e-6}, published=(0.241, 0.202)),
    ZsihRow(name="entropy-none", title="without log q", changed={"code_entropy": "none"}),
    ZsihRow(name="entropy-min", title="the authors' sign of log q", changed={"code_entropy": "min"}),
)


def markdown(results: Mapping[str, Any]) -> str:
    """Return the page of `bench zsih`: measured rows, and Tables 1 to 3 as published."""
    return "\n".join([*_measured(results), *_published()]) + "\n"


def _measured(results: Mapping[str, Any]) -> Iterator[str]:
    rows = results["rows"]
    chance = statistics.fmean(chance_of_map(cell["chance"], cell["gallery"]) for row in rows for cell in row["cells"])
    cell = rows[0]["cells"][0]
    yield "# Binary codes of drawings and photos"
    yield ""
    yield (
        f"{results['classes']} classes of {results['data']}; {cell['queries']:,} drawings of {cell['unseen']} unseen "
        f"classes search {cell['gallery']:,} photos by Hamming distance, in the first draw. Figures are means over "
        f"{results['draws']} draws of classes and {results['seeds']} seeds, ± the sample deviation. Trainings have "
        f"{results['epochs']} epochs; {results['backbone']} at {results['size']} pixels, {results['trunk']}. "
        f"**A random order has a mAP of {chance:.4f}.** Where codes are equally far, measures are what a random order "
        "has on average; beside, the mean worst and best order."
    )
    yield ""
    yield "| row | what it is | bits | mAP | over all orders of ties | P@100 | paper, 64 bits: Sketchy / TU-Berlin |"
    yield "|---|---|--:|--:|--:|--:|--:|"
    for row in rows:
        own = row["cells"]
        low, high = (statistics.fmean(each["map"][bound] for each in own) for bound in ("pessimistic", "optimistic"))
        shown = [
            f"`{row['name']}`",
            row["title"],
            str(row["bits"]),
            _spread([each["map"]["expected"] for each in own]),
            f"{low:.4f} – {high:.4f}",
            _spread([each["precision_at_100"] for each in own]),
            " / ".join(f"{value:.3f}" for value in row["published"]) if row["published"] else "–",
        ]
        yield f"| {' | '.join(shown)} |"


def _published() -> Iterator[str]:
    yield ""
    yield "## Published figures"
    yield ""
    yield (
        "Source: Shen et al., CVPR 2018, on other data with other networks: Sketchy with 25 unseen classes, TU-Berlin "
        "with 30, both drawn at random and not published."
    )
    yield ""
    yield f"| Table 1, mAP at 32 / 64 / 128 bits | {' | '.join(PUBLISHED_DATA)} |"
    yield "|---|--:|--:|"
    for name, figures in TABLE_1.items():
        yield f"| {name} | {' | '.join(' / '.join(f'{value:.3f}' for value in own) for own in figures)} |"
    yield ""
    yield f"| Table 2, mAP / P@100 | {' | '.join(PUBLISHED_DATA)} |"
    yield "|---|--:|--:|"
    for name, pairs in TABLE_2.items():
        yield f"| {name} | {' | '.join(' / '.join(f'{value:.3f}' for value in own) for own in pairs)} |"


def _spread(values: Sequence[float]) -> str:
    deviation = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.4f}{deviation}"
