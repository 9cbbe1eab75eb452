"""Evaluation of a space of drawings and photos: queries of one domain search a gallery of the other one.

found = search_vectors(drawings, photos)
print(found.retrieval.mean("map", "expected"), found.values()["confused"])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from sketchdata.cross_domain.dataset import DOMAINS, DRAWINGS, PHOTOS, TwoDomains
from sketchdata.cross_domain.encoder import SpaceEncoder, embed
from sketchdata.errors import ConfigError, SketchDataError
from sketchdata.formats.codes import Codes, pack_bits
from sketchdata.progress import task_bar
from sketchdata.retrieval.scores import (
    MeasurePath,
    Retrieval,
    ScoreQueries,
    inner_products,
    nearness,
    score_codes,
    score_values,
)
from sketchdata.retrieval.shallow_hashing import SHALLOW_HASHERS

#: Vectors are compared by Euclidean distance, or by inner product.
Compare = Literal["distance", "product"]
#: k of the measures at k, and the further ones of P@k: papers 002 and later have 200, ZSIH and SAKE 100; 1 is the
#: nearest alone.
K, FURTHER = 200, (1, 100)
#: How many confused pairs a report lists.
PAIRS = 20
#: (title, whose figure it is, keys of the expected value or of its two bounds): the figures that papers call mAP or P.
NAMED_MEASURES: Sequence[tuple[str, str, Sequence[MeasurePath]]] = (
    ("mAP@all", "ZSIH, Doodle to Search", [("map", "expected")]),
    ("mAP@200, strict: over min(R, 200)", "BmAP", [("map_at_k", "strict", "expected")]),
    (
        "mAP@200, lenient: over the relevant among the first 200",
        "Doodle to Search, SEM-PCYC",
        [("map_at_k", "lenient", "pessimistic"), ("map_at_k", "lenient", "optimistic")],
    ),
    (
        "mAP@all, interpolated",
        "SAKE, ZSE-SBIR",
        [("map", "interpolated_pessimistic"), ("map", "interpolated_optimistic")],
    ),
    (
        "mAP@200, interpolated",
        "SAKE, ZSE-SBIR",
        [("map_at_k", "interpolated", "pessimistic"), ("map_at_k", "interpolated", "optimistic")],
    ),
    ("P@1", "the nearest alone", [("precision_at", "1", "expected")]),
    ("P@100", "ZSIH, SAKE", [("precision_at", "100", "expected")]),
    ("P@200", "Doodle to Search", [("precision_at_k", "expected")]),
    ("P@min(100, R)", "ZSE-SBIR", [("precision_at_min_r", "100", "expected")]),
    ("P@min(200, R)", "ZSE-SBIR", [("precision_at_min_k_r", "expected")]),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class EmbeddedPictures:
    """N pictures of one domain as vectors.

    Attributes:
        domain: `drawings` or `photos`.
        vectors: (N, D) float32, finite.
        labels: (N,) integers, indices into the class table.
        classes: The class table.

    Raises:
        SketchDataError: A vector has a value that is not finite.
    """

    domain: str
    vectors: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if broken := int((~np.isfinite(self.vectors).all(axis=1)).sum()):
            raise SketchDataError(
                f"{broken:,} of {len(self):,} vectors of {self.domain} have values that are not finite, so nothing can "
                f"be ranked by them: the training diverged; train again with a smaller --learning-rate"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: npt.NDArray[np.integer[Any]]) -> EmbeddedPictures:
        """Return some of them, in the order of `rows`."""
        return replace(self, vectors=self.vectors[rows], labels=self.labels[rows])

    def with_classes(self, classes: tuple[str, ...]) -> EmbeddedPictures:
        """Return the same pictures with a class table that has all of their classes."""
        places = np.array([classes.index(word) for word in self.classes] or [0], np.int64)
        return replace(self, labels=places[self.labels], classes=classes)


def embed_domains(
    encoder: SpaceEncoder, pictures: TwoDomains, *, device: str = "cpu", batch_size: int = 64
) -> dict[str, EmbeddedPictures]:
    """Embed the drawings and the photos of some classes: {domain: its vectors}.

    Raises:
        SketchDataError: A picture cannot be read, or the network gives values that are no finite numbers.
    """
    return {
        domain: EmbeddedPictures(
            domain=domain,
            vectors=embed(encoder, each, domain, device=device, batch_size=batch_size),
            labels=each.labels.cpu().numpy().astype(np.int64),
            classes=pictures.classes,
        )
        for domain, each in ((DRAWINGS, pictures.drawings), (PHOTOS, pictures.photos))
    }


def joined(first: EmbeddedPictures, second: EmbeddedPictures) -> EmbeddedPictures:
    """Return the pictures of two parts of one domain, with the classes of both."""
    classes = tuple(dict.fromkeys((*first.classes, *second.classes)))
    first, second = first.with_classes(classes), second.with_classes(classes)
    return replace(
        first,
        vectors=np.concatenate([first.vectors, second.vectors]),
        labels=np.concatenate([first.labels, second.labels]),
    )


# ---- searches --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, eq=False)
class DomainSearch:
    """What queries of one domain found in a gallery of the other.

    Attributes:
        retrieval: All measures.
        nearest: (L, L) float64, queries of each class (row) by the class of the nearest item (column); equally near
            items share a query.
        gallery: (L,) int64, items of each class.
    """

    retrieval: Retrieval
    nearest: npt.NDArray[np.float64]
    gallery: npt.NDArray[np.int64]

    def values(self) -> dict[str, Any]:
        """Return all measures as JSON has them.

        They are those of `Retrieval.values`; beside, `map.class_mean`, the mean over classes instead of queries; for
        each class its `items` in the gallery, the share `nearest` of queries whose nearest item is of the class, the
        class most found `instead`, None where no other is, and its `share`; and the most frequent confusions in
        `confused`.
        """
        found, words = self.retrieval.values(), self.retrieval.classes
        found["map"]["class_mean"] = float(np.mean([own["map"] for own in found["classes"].values()]))
        wrong = self.nearest - np.diag(np.diag(self.nearest))
        for word, own in found["classes"].items():
            row = words.index(word)
            queries, other = float(self.nearest[row].sum()), int(wrong[row].argmax())
            own |= {
                "items": int(self.gallery[row]),
                "nearest": float(self.nearest[row, row] / queries),
                "instead": words[other] if wrong[row, other] else None,
                "share": float(wrong[row, other] / queries),
            }
        order = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
        pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
        found["confused"] = [
            {
                "class": words[row],
                "found": words[column],
                "queries": float(wrong[row, column]),
                "share": float(wrong[row, column] / self.nearest[row].sum()),
            }
            for row, column in pairs
            if wrong[row, column]
        ]
        return found


def search_vectors(
    queries: EmbeddedPictures,
    gallery: EmbeddedPictures,
    *,
    compare: Compare = "distance",
    k: int = K,
    resamples: int = 1000,
    workers: int | None = None,
) -> DomainSearch:
    """Rank a gallery for each query by vectors, exactly, and measure; no more than 2^25 scores at a time are held.

    Args:
        queries: Q vectors.
        gallery: N vectors as wide. Their classes may be more, or others.
        compare: By Euclidean distance, or by inner product: the same where all vectors have length 1.
        k: Of the measures at k.
        resamples: Of the bootstrap.
        workers: Threads that sort; None for one per processor.

    Raises:
        ConfigError: Widths differ, there are no queries or no items, or no query has an item of its class.
    """
    queries, gallery = _one_table(queries, gallery)
    if queries.vectors.shape[1] != gallery.vectors.shape[1]:
        raise ConfigError(
            f"queries of {queries.vectors.shape[1]} values cannot search vectors of {gallery.vectors.shape[1]}: both "
            "must come from one network"
        )
    score = score_rows(queries, gallery, compare)
    nearest = np.zeros((len(queries.classes), len(queries.classes)))
    with task_bar() as bar:
        shown = bar.add_task(f"Searching {gallery.domain}", total=len(queries))

        def watched(rows: slice) -> npt.NDArray[np.floating[Any]]:
            scores = score(rows)
            first, items = np.nonzero(scores == scores.max(axis=1, keepdims=True))
            shares = 1 / np.maximum(np.bincount(first, minlength=len(scores)), 1)
            np.add.at(nearest, (queries.labels[rows][first], gallery.labels[items]), shares[first])
            bar.update(shown, completed=rows.stop)
            return scores

        retrieval = score_values(
            watched,
            queries.labels,
            gallery.labels,
            classes=queries.classes,
            k=k,
            precision_at=FURTHER,
            resamples=resamples,
            workers=workers,
        )
    counts = np.bincount(gallery.labels, minlength=len(gallery.classes))
    return DomainSearch(retrieval=retrieval, nearest=nearest, gallery=counts)


def search_codes(
    queries: EmbeddedPictures,
    gallery: EmbeddedPictures,
    learned: EmbeddedPictures,
    *,
    bits: int = 64,
    k: int = K,
    workers: int | None = None,
) -> Retrieval:
    """Turn vectors into binary codes by PCA-ITQ, rank the gallery by Hamming distance, and measure.

    Args:
        queries: Q vectors.
        gallery: N vectors.
        learned: What the rotation is fitted to: pictures of seen classes.
        bits: Of a code, at most D.
        k: Of the measures at k.
        workers: Threads that count distances; None for one per processor.

    Raises:
        ConfigError: There are more bits than values, or fewer pictures to fit than bits.
    """
    queries, gallery = _one_table(queries, gallery)
    hasher = SHALLOW_HASHERS["pca_itq"].fit(learned.vectors, None, bits, 0)

    def codes(each: EmbeddedPictures) -> Codes:
        return Codes(
            bits=bits,
            packed=pack_bits(hasher.encode(each.vectors)),
            labels=each.labels.astype(np.uint16),
            key_ids=np.arange(len(each), dtype=np.uint64),
            classes=each.classes,
        )

    return score_codes(codes(queries), codes(gallery), k=k, precision_at=FURTHER, workers=workers)


def _one_table(first: EmbeddedPictures, second: EmbeddedPictures) -> tuple[EmbeddedPictures, EmbeddedPictures]:
    classes = tuple(dict.fromkeys((*first.classes, *second.classes)))
    return first.with_classes(classes), second.with_classes(classes)


def score_rows(queries: EmbeddedPictures, gallery: EmbeddedPictures, compare: Compare = "distance") -> ScoreQueries:
    """Return what scores slices of queries against the gallery; more is nearer."""
    return (nearness if compare == "distance" else inner_products)(queries.vectors, gallery.vectors)


# ---- the generalised setting -----------------------------------------------------------------------------------------


_Domains = Mapping[str, EmbeddedPictures]
#: (unseen, seen pictures of both domains, random) → rows of the seen queries and of the seen items that join.
_Choose = Callable[[_Domains, _Domains, np.random.Generator], Mapping[str, npt.NDArray[Any]]]


@dataclass(frozen=True, kw_only=True)
class GeneralisedForm:
    """A way in which pictures of seen classes join those of unseen ones.

    Attributes:
        definition: What joins.
        source: Who measures so.
        queries: Whether seen queries join as well; then figures of both kinds have a harmonic mean.
        choose: Chooses the rows of each domain.
    """

    definition: str
    source: str
    queries: bool
    choose: _Choose


def _sample(unseen: _Domains, seen: _Domains, random: np.random.Generator) -> Mapping[str, npt.NDArray[Any]]:
    counts = {domain: min(int(0.2 * len(own)), len(seen[domain])) for domain, own in unseen.items()}
    return {
        domain: np.sort(random.choice(len(seen[domain]), max(count, 1), replace=False))
        for domain, count in counts.items()
    }


def _classes(of: Literal["unseen", "seen"]) -> _Choose:
    def choose(unseen: _Domains, seen: _Domains, random: np.random.Generator) -> Mapping[str, npt.NDArray[Any]]:
        whole = seen[PHOTOS].classes
        count = max(round(0.2 * len((unseen if of == "unseen" else seen)[PHOTOS].classes)), 1)
        chosen = random.choice(len(whole), min(count, len(whole)), replace=False)
        return {domain: np.flatnonzero(np.isin(own.labels, chosen)) for domain, own in seen.items()}

    return choose


#: The forms by name. None of them has seen pictures that the training left out: they are those it learned from.
GENERALISED: Mapping[str, GeneralisedForm] = {
    "all-seen": GeneralisedForm(
        definition="all pictures of the seen classes join the gallery, and queries are of unseen classes",
        source="the text of SEM-PCYC (Dutta and Akata, CVPR 2019): a gallery of both; no published code that we know "
        "takes all of them",
        queries=False,
        choose=lambda _, seen, __: {domain: np.arange(len(own)) for domain, own in seen.items()},
    ),
    "sem-pcyc": GeneralisedForm(
        definition="seen pictures at random join queries and gallery, 0.2 times as many as there are unseen ones",
        source="the code of SEM-PCYC (Dutta and Akata, CVPR 2019), src/test.py",
        queries=True,
        choose=_sample,
    ),
    "ocean": GeneralisedForm(
        definition="seen classes at random join queries and gallery, 0.2 times as many as there are unseen ones",
        source="OCEAN (Zhu et al., ICME 2020), as others describe it; its code was not seen",
        queries=True,
        choose=_classes("unseen"),
    ),
    "dr-clip": GeneralisedForm(
        definition="seen classes at random join queries and gallery, 0.2 of all seen ones",
        source="Dr. CLIP (Li et al., ACM MM 2024), as others describe it; its code takes ready folders",
        queries=True,
        choose=_classes("seen"),
    ),
}
#: Means that are told of unseen queries, of seen ones, and of both.
_SIDES: Sequence[tuple[str, MeasurePath]] = (
    ("map", ("map", "expected")),
    ("precision_at_100", ("precision_at", "100", "expected")),
    ("precision_at_200", ("precision_at_k", "expected")),
)


def search_generalised(
    unseen: _Domains,
    seen: _Domains,
    *,
    queries: str = DRAWINGS,
    compare: Compare = "distance",
    seed: int = 0,
    workers: int | None = None,
) -> dict[str, dict[str, Any]]:
    """Search galleries that have seen classes as well, in each of the forms of GENERALISED.

    Args:
        unseen: {domain: pictures of unseen classes}.
        seen: {domain: pictures of seen classes}.
        queries: The domain of the queries.
        compare: As for `search_vectors`.
        seed: Of the pictures or classes that join.
        workers: As for `search_vectors`.

    Returns:
        {form: plain values}: its `definition` and `source`; `classes` of the gallery; `queries` that have an item of
        their class, and the others, which are `excluded`; `gallery`; `chance` of queries of unseen classes;
        `map`, `precision_at_100` and `precision_at_200`, with ties in random order, of `every` query, of queries of
        `unseen` and of `seen` classes, and the `harmonic` mean of these two; None where no query is of a seen class.
    """
    gallery, found = _other(queries), {}
    for name, form in GENERALISED.items():
        rows = form.choose(unseen, seen, np.random.default_rng(seed))
        asked = unseen[queries]
        if form.queries:
            asked = joined(asked, seen[queries].take(rows[queries]))
        items = joined(unseen[gallery], seen[gallery].take(rows[gallery]))
        retrieval = search_vectors(asked, items, compare=compare, resamples=2, workers=workers).retrieval
        of_seen = retrieval.labels >= len(unseen[queries].classes)
        known = ~np.isnan(retrieval.chance)
        found[name] = {
            "definition": form.definition,
            "source": form.source,
            "classes": len(np.unique(items.labels)),
            "queries": {"unseen": int((known & ~of_seen).sum()), "seen": int((known & of_seen).sum())},
            "excluded": retrieval.excluded,
            "gallery": len(items),
            "chance": float(np.nanmean(retrieval.chance[~of_seen])),
            **{title: _by_side(retrieval.measures[path], of_seen) for title, path in _SIDES},
        }
    return found


def _by_side(values: npt.NDArray[np.float64], of_seen: npt.NDArray[np.bool_]) -> dict[str, float | None]:
    unseen = float(np.nanmean(values[~of_seen]))
    seen = float(np.nanmean(values[of_seen])) if not np.isnan(values[of_seen]).all() else None
    harmonic = None if seen is None else (2 * unseen * seen / (unseen + seen) if unseen + seen else 0.0)
    return {"every": float(np.nanmean(values)), "unseen": unseen, "seen": seen, "harmonic": harmonic}


def _other(domain: str) -> str:
    return DOMAINS[1 - DOMAINS.index(domain)]


# ---- a trained network -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SpaceMeasures:
    """What is measured of a space.

    Attributes:
        queries: The domain of the queries; the gallery is of the other one.
        generalised: Whether galleries with seen classes are searched as well.
        bits: Of binary codes that are measured as well; 0 for none.
        device: Where to compute.
        batch_size: Pictures at a time.
    """

    queries: str = DRAWINGS
    generalised: bool = False
    bits: int = 0
    device: str = "cpu"
    batch_size: int = 64

    @property
    def needs_seen(self) -> bool:
        """Whether pictures of seen classes are needed."""
        return self.generalised or self.bits > 0


@dataclass(frozen=True, kw_only=True, eq=False)
class MeasuredSpace:
    """What was measured of a space, and what it was measured on.

    Attributes:
        values: Plain values: `retrieval`, as `DomainSearch.values` gives them; `generalised`, as `search_generalised`;
            `codes`, as `Retrieval.values`.
        search: The search of unseen classes.
        queries: Its queries.
        gallery: Its gallery.
    """

    values: dict[str, Any]
    search: DomainSearch
    queries: EmbeddedPictures
    gallery: EmbeddedPictures


def measure_space(
    encoder: SpaceEncoder,
    unseen: TwoDomains,
    seen: TwoDomains | None,
    measures: SpaceMeasures,
    embedded: Callable[[TwoDomains], dict[str, EmbeddedPictures]] | None = None,
) -> MeasuredSpace:
    """Measure how well a network finds pictures of classes that it did not learn.

    Args:
        encoder: The network.
        unseen: Pictures of unseen classes.
        seen: Those of seen ones, where `measures` needs them.
        measures: What to measure.
        embedded: What embeds the pictures, for features that are kept; None for `embed_domains`.

    Raises:
        ConfigError: The network has learned an unseen class, there is but one of them, a domain has no pictures, or
            `bits` does not fit the network.
        SketchDataError: A picture cannot be read, or the network gives values that are no finite numbers.
    """
    if known := [word for word in unseen.classes if word in set(encoder.classes)]:
        raise ConfigError(
            f"the network was trained on {_some(known)}, which are among the {len(unseen.classes):,} unseen classes of "
            "the data: evaluate it on the data set and the class split that it was trained with"
        )
    if len(unseen.classes) < 2:
        raise ConfigError(
            f"the data has only one unseen class, {_some(unseen.classes)}, so every result would be right: build it "
            "with at least two"
        )
    if encoder.bits and measures.bits:
        raise ConfigError(
            f"the network itself gives codes of {encoder.bits} bits, which are measured: leave out --bits"
        )
    embedded = embedded or partial(embed_domains, encoder, device=measures.device, batch_size=measures.batch_size)
    found = embedded(unseen)
    for domain, own in found.items():
        if not len(own):
            raise ConfigError(f"the data has no {domain} of its unseen classes: there is nothing to measure")
    queries, gallery = found[measures.queries], found[_other(measures.queries)]
    search = search_vectors(queries, gallery)
    values: dict[str, Any] = {
        "queries": queries.domain,
        "gallery": gallery.domain,
        "width": encoder.width,
        "hashed": encoder.bits > 0,
        "retrieval": search.values(),
    }
    if measures.needs_seen and seen is not None:
        learned = embedded(seen)
        if measures.generalised:
            values["generalised"] = search_generalised(found, learned, queries=measures.queries)
        if measures.bits:
            fitted = replace(joined(learned[DRAWINGS], learned[PHOTOS]), domain="seen classes")
            values["codes"] = search_codes(queries, gallery, fitted, bits=measures.bits).values()
    return MeasuredSpace(values=values, search=search, queries=queries, gallery=gallery)


def _some(words: Sequence[str]) -> str:
    return ", ".join(words[:3]) + ("…" if len(words) > 3 else "")


@dataclass(frozen=True, kw_only=True)
class RankedQuery:
    """A query and the items nearest to it.

    Attributes:
        row: Among the queries.
        word: Its class.
        precision: Its average precision.
        found: (row in the gallery, Euclidean distance) of each item, the nearest first.
    """

    row: int
    word: str
    precision: float
    found: Sequence[tuple[int, float]]


def typical_queries(measured: MeasuredSpace, *, most: int = 12, items: int = 10) -> list[RankedQuery]:
    """Choose queries to look at, with the items nearest to them.

    They are the queries of median average precision of some classes, evenly from the class that is found best to the
    one that is found worst, so they are neither the best examples nor the worst. Of equally near items the first ones
    of the gallery are taken.

    Args:
        measured: A space.
        most: The most queries.
        items: Items of each, or the whole gallery if it has fewer.
    """
    queries, gallery = measured.queries, measured.gallery
    precisions, score = (
        measured.search.retrieval.measures["map", "expected"],
        nearness(queries.vectors, gallery.vectors),
    )
    classes = measured.values["retrieval"]["classes"]
    order = sorted(classes, key=lambda word: -classes[word]["map"])
    places = np.unique(np.linspace(0, len(order) - 1, min(most, len(order))).round()).astype(int).tolist()
    chosen = []
    for word in (order[place] for place in places):
        rows = np.flatnonzero((queries.labels == queries.classes.index(word)) & ~np.isnan(precisions))
        row = int(rows[np.argsort(precisions[rows], kind="stable")[len(rows) // 2]])
        nearest = np.argsort(-score(slice(row, row + 1))[0], kind="stable")[:items]
        distances = np.linalg.norm(gallery.vectors[nearest] - queries.vectors[row], axis=1)
        found = list(zip(nearest.tolist(), distances.tolist(), strict=True))
        chosen.append(RankedQuery(row=row, word=word, precision=float(precisions[row]), found=found))
    return chosen
