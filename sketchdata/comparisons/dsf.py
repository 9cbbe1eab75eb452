"""The comparison of mixes of domains for the deep sketch feature: its rows, published figures, the page in Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Source of all published figures: Wang et al., "Deep sketch feature for cross-domain image retrieval", Neurocomputing
# 2016, Tables 1 to 3, with AlexNet.

#: Accuracy on TU-Berlin's 250 classes in three folds, of one view and of 18 views.
TABLE_1: Mapping[str, tuple[float, float]] = {
    "Sketches (bilinear resizing)": (0.690, 0.710),
    "Sketches": (0.747, 0.773),
    "Sketches + images": (0.738, 0.767),
    "Sketches + edges": (0.743, 0.771),
    "Sketches + images + edges": (0.745, 0.768),
}
#: Accuracy on TU-Berlin.
TABLE_2: Mapping[str, float] = {
    "Humans": 0.732,
    "SIFT variant, BoW, SVM": 0.56,
    "Star graph, KNN": 0.615,
    "MKL": 0.658,
    "SIFT, FV (GMM), SVM": 0.689,
    "Sketch-a-Net": 0.749,
    "Deep sketch feature, single angle": 0.747,
    "Deep sketch feature, multi-angle": 0.773,
}
#: Mean rank correlation over Eitz's 31 drawings; one figure, or those of fc6, fc7 and their concatenation.
TABLE_3: Mapping[str, tuple[float, ...]] = {
    "SHOG": (0.277,),
    "Words-of-Interest": (0.313,),
    "Key-shape": (0.289,),
    "Min-Hash": (0.336,),
    "Content-aware": (0.352,),
    "S": (0.2757, 0.2831, 0.2981),
    "S + I": (0.4603, 0.4403, 0.4578),
    "S + I + E": (0.4607, 0.4615, 0.4773),
}


@dataclass(frozen=True, kw_only=True)
class DsfRow:
    """A training on some domains.

    Attributes:
        name: Of its files.
        title: For people.
        mix: Of MIXES.
        resize: How drawings that are pixels are resized, of RESIZES.
        published: Its line of TABLE_1.
    """

    name: str
    title: str
    mix: str
    resize: str = "ink"
    published: str | None = None

    @property
    def needs_pixels(self) -> bool:
        """Whether the row differs from others only for drawings that are pixels."""
        return self.resize != "ink"


ROWS: Sequence[DsfRow] = (
    DsfRow(
        name="s-bilinear",
        title="drawings, resized by interpolation",
        mix="s",
        resize="bilinear",
        published="Sketches (bilinear resizing)",
    ),
    DsfRow(name="s-thinned", title="drawings, thinned and their ink moved", mix="s", resize="thinned"),
    DsfRow(name="s", title="drawings, their ink moved", mix="s", published="Sketches"),
    DsfRow(name="s+i", title="drawings and photos", mix="s+i", published="Sketches + images"),
    DsfRow(name="s+e", title="drawings and edge maps", mix="s+e", published="Sketches + edges"),
    DsfRow(name="s+i+e", title="drawings, photos and edge maps", mix="s+i+e", published="Sketches + images + edges"),
)


def markdown(results: Mapping[str, Any]) -> str:
    """Return the page of `bench dsf`: measured rows, and Tables 1 to 3 as published."""
    return "\n".join([*_recognition(results), *_search(results), *_published()]) + "\n"


def spread(values: Sequence[float]) -> str:
    """Return the mean and, of several values, the sample deviation.

    >>> spread([0.5, 0.7])
    '0.6000 ± 0.1414'
    """
    deviation = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.4f}{deviation}"


def _recognition(results: Mapping[str, Any]) -> Iterator[str]:
    yield "# Drawings recognised after training on drawings, photos and edge maps"
    yield ""
    yield (
        f"{results['classes']} classes of {results['data']}; folds {', '.join(results['folds'])}; {results['seeds']} "
        "seeds per fold. Figures are means over these cells, ± the sample deviation. Every training has "
        f"{results['epochs']} epochs, of which held-out drawings choose one where --validation-share is above 0; "
        f"{results['backbone']} at {results['size']} pixels. An epoch has all pictures of the mix, so mixes with "
        "photos take more steps."
    )
    yield ""
    many = results["views"]
    yield f"| row | what it learns from | one view | {many} views | gain | cells | paper: one view / 18 views |"
    yield "|---|---|--:|--:|--:|--:|--:|"
    chance = statistics.fmean(cell["chance"] for row in results["rows"] for cell in row["cells"])
    yield f"| *chance* | | {chance:.4f} | {chance:.4f} | | | |"
    for row in results["rows"]:
        own = row["cells"]
        shown = [
            f"`{row['name']}`",
            row["title"],
            spread([cell["one_view"] for cell in own]),
            spread([cell["voting"] for cell in own]),
            spread([cell["voting"] - cell["one_view"] for cell in own]),
            str(len(own)),
            " / ".join(f"{value:.3f}" for value in TABLE_1[row["published"]]) if row["published"] else "–",
        ]
        yield f"| {' | '.join(shown)} |"


def _search(results: Mapping[str, Any]) -> Iterator[str]:
    found = [(row, row["cells"][0]["layers"]) for row in results["rows"] if row["cells"][0]["layers"]]
    if not found:
        return
    layers = list(found[0][1]["by_layer"])
    yield ""
    yield "## Photos found by the drawings that were left out"
    yield ""
    held = "were not learned from" if found[0][1]["photos_held"] else "the mixes with photos learned from"
    chance = found[0][1]["by_layer"][layers[0]]["chance"]
    yield (
        f"mAP@all of {found[0][1]['photos']:,} photos, which {held}, in the first cell; L2-normalised layers, "
        f"Euclidean distance. **Chance is {chance:.4f}.**"
    )
    yield ""
    yield f"| row | {' | '.join(layers)} |"
    yield f"|---|{'--:|' * len(layers)}"
    for row, _ in found:
        maps = [[cell["layers"]["by_layer"][layer]["map"] for cell in row["cells"]] for layer in layers]
        yield f"| `{row['name']}` | {' | '.join(map(spread, maps))} |"


def _published() -> Iterator[str]:
    yield ""
    yield "## Published figures"
    yield ""
    yield (
        "Source: Wang et al., Neurocomputing 2016, on other data: TU-Berlin's 250 classes in three folds, photos of "
        "HUST-SI, and Eitz's benchmark of 31 drawings with 40 photos each."
    )
    yield ""
    yield "| Table 1, accuracy | one view | 18 views |"
    yield "|---|--:|--:|"
    for name, (one, many) in TABLE_1.items():
        yield f"| {name} | {one:.3f} | {many:.3f} |"
    yield ""
    yield "| Table 2 | accuracy |"
    yield "|---|--:|"
    for name, value in TABLE_2.items():
        yield f"| {name} | {value:.3f} |"
    yield ""
    yield "| Table 3, rank correlation | fc6 / fc7 / both, or one figure |"
    yield "|---|--:|"
    for name, values in TABLE_3.items():
        yield f"| {name} | {' / '.join(f'{value:.4g}' for value in values)} |"
