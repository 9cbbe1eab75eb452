"""Codes of drawings and photos: encoded, indexed, searched, shown and evaluated like the vectors of a space."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from sketchdata.cross_domain.dataset import DRAWINGS, PHOTOS, UNSEEN, read_group
from sketchdata.cross_domain.encoder import SpaceArchitecture, SpaceEncoder, embed, read_space, write_space
from sketchdata.cross_domain.evaluation import embed_domains, search_vectors
from sketchdata.cross_domain.onnx_export import export_space
from sketchdata.cross_domain.photo_search import DrawingEmbedder
from sketchdata.errors import ConfigError
from sketchdata.formats.codes import unpack_bits
from sketchdata.pipelines import encode, index, search, verify
from sketchdata.retrieval.code_folder import open_codes
from sketchdata.retrieval.index import open_index
from sketchdata.training.run_folder import RECORD, write_json
from tests.commands import sketchdata
from tests.exports import tree
from tests.spaces import make_space_run
from tests.two_domains import GROUP_CLASSES, make_two_domains

BITS = 12
SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">
<path d="M0 0L100 0L100 80L0 80" fill="none" stroke="black"/></svg>"""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Folders: the data set, the run, its codes of everything, and the flat index over all 24 photos."""

    data: Path
    run: Path
    codes: Path
    index: Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("codes")
    make_two_domains(folder / "data", drawings=6, photos=4)
    torch.manual_seed(0)
    classes = GROUP_CLASSES["seen"]
    encoder = SpaceEncoder(
        SpaceArchitecture(backbone="small", size=16, width=BITS, classes=classes, branch="hashing")
    ).eval()
    group = read_group(folder / "data", UNSEEN, size=16)
    for domain in (DRAWINGS, PHOTOS):
        # Random heads give all pictures the same code: the thresholds are put where they part the pictures.
        branch = encoder.branch(domain)
        pictures = getattr(group, domain).pictures(torch.arange(len(getattr(group, domain))), 16)
        with torch.no_grad():
            scores = branch.head(branch.attended(encoder.features(pictures, domain)))
            branch.head.bias -= scores.median(0).values
    run = folder / "run"
    run.mkdir()
    write_space(run, encoder)
    record = {"trainer": "zsih", "options": {}, "classes": list(classes), "data": str(folder / "data")}
    write_json(run / RECORD, record | {"manifest": "0" * 64})
    encode.run(run, folder / "data", encode.Config(out=folder / "c", splits="all", device="cpu"))
    index.run(folder / "c", index.Config(out=folder / "index"))
    return Place(data=folder / "data", run=run, codes=folder / "c", index=folder / "index")


@pytest.fixture(scope="module")
def svg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("svg") / "house.svg"
    path.write_text(SVG)
    return path


def test_codes_are_packed_bits_of_the_network_row_by_row(place: Place, tmp_path: Path) -> None:
    folder, encoder, group = open_codes(place.codes), read_space(place.run), read_group(place.data, UNSEEN, size=16)
    assert (folder.bits, folder.photos) == (BITS, ("seen-photos", "validation-photos", "unseen-photos"))
    for domain in (DRAWINGS, PHOTOS):
        codes, pictures = folder.read(f"{UNSEEN}-{domain}"), getattr(group, domain)
        assert codes.packed.shape == (len(pictures), 2)
        found = unpack_bits(codes.packed, BITS)
        assert (found == embed(encoder, pictures, domain)).all()
        assert 0.2 < found.mean() < 0.8
        assert codes.key_ids.view(np.int64).tolist() == pictures.key_ids.tolist()
        words = [folder.manifest.classes[label] for label in codes.labels]
        assert words == [group.classes[label] for label in pictures.labels]
    assert verify.run(place.codes).faults == []
    encode.run(place.run, place.data, encode.Config(out=tmp_path / "c", splits="all", device="cpu", batch_size=7))
    assert tree(tmp_path / "c") == tree(place.codes)
    with pytest.raises(ConfigError, match="--precision is of vectors"):
        encode.run(place.run, place.data, encode.Config(out=tmp_path / "h", precision="float16", device="cpu"))


def test_evaluation_of_the_codes_is_that_of_the_network(place: Place) -> None:
    found = json.loads(sketchdata("evaluate", place.codes, "--json").stdout)["retrieval"]
    own = embed_domains(read_space(place.run), read_group(place.data, UNSEEN, size=16))
    expected = search_vectors(own[DRAWINGS], own[PHOTOS]).values()
    for bound in ("expected", "pessimistic", "optimistic"):
        assert found["map"][bound] == pytest.approx(expected["map"][bound])
        assert found["precision_at"]["100"][bound] == pytest.approx(expected["precision_at"]["100"][bound])
    assert found["map"]["pessimistic"] < found["map"]["expected"] < found["map"]["optimistic"]
    reverse = json.loads(sketchdata("evaluate", place.codes, "--queries", "photos", "--json").stdout)["retrieval"]
    assert (reverse["queries"], reverse["gallery"]) == (8, 12)


def test_the_index_is_over_photos_and_is_searched_by_drawings(place: Place, svg: Path) -> None:
    own = open_index(place.index)
    assert (len(own), own.of_photos, own.bits) == (24, True, BITS)
    (answer,) = search.run(place.index, [str(svg)], search.Config(run=place.run, k=24)).answers
    drawing = answer.query.drawing
    assert drawing is not None
    bits = unpack_bits(DrawingEmbedder(own, place.run)([drawing]), BITS)[0]
    apart = (unpack_bits(np.stack([own.code(row) for row in range(24)]), BITS) != bits).sum(1)
    order = np.lexsort([own.key_ids, apart])
    assert [result.key_id for result in answer.results] == own.key_ids[order].tolist()
    assert [result.distance for result in answer.results] == apart[order].tolist()
    # A photo of the index finds others and not itself.
    (answer,) = search.run(place.index, [str(own.key_ids[0])], search.Config(k=5)).answers
    assert own.key_ids[0] not in [result.key_id for result in answer.results]


@pytest.mark.parametrize("kind", ["ivf", "hnsw", "multihash"])
def test_approximate_kinds_take_codes_of_photos(kind: str, place: Place, svg: Path, tmp_path: Path) -> None:
    # faiss' binary indexes take whole bytes.
    out = tmp_path / "index"
    index.run(place.codes, index.Config(out=out, kind=kind, split="unseen-photos"))
    (answer,) = search.run(out, [str(svg)], search.Config(run=place.run, k=3)).answers
    assert {result.word for result in answer.results} <= set(GROUP_CLASSES[UNSEEN])


def test_the_commands_say_photos(place: Place, svg: Path, tmp_path: Path) -> None:
    told = sketchdata("encode", place.run, place.data, "--out", tmp_path / "c").stdout
    assert "20 codes of 12 bits (unseen-drawings 12, unseen-photos 8)" in told
    told = sketchdata("index", "build", tmp_path / "c", "--out", tmp_path / "i").stdout
    assert "flat over 8 codes of 12 bits (unseen-photos)" in told
    page = tmp_path / "found.html"
    sketchdata("search", tmp_path / "i", svg, "--run", place.run, "--data", place.data, "--html", page)
    shown = page.read_text(encoding="utf-8")
    assert shown.count("data:image/jpeg;base64,") == 8
    assert "8 codes of 12 bits (flat)" in shown


def test_the_page_shows_photos_by_their_codes(place: Place) -> None:
    pytest.importorskip("fastapi", reason="the draw-to-search page needs the extra `web`")
    from sketchdata.pipelines.serve import Config, open_finder
    from sketchdata.web.search_server import to_drawing

    finder = open_finder(place.index, Config(run=place.run))
    drawing = to_drawing([([0.0, 100.0, 100.0, 0.0], [0.0, 0.0, 80.0, 80.0])])
    found = finder.find(drawing, 5)
    (answer,) = open_index(place.index).search(finder.embed([drawing]), 5)
    assert [each["id"] for each in found] == [str(key_id) for key_id in answer.key_ids]
    assert [each["distance"] for each in found] == answer.distances.tolist()
    assert (finder.picture(int(found[0]["id"])) or b"").startswith(b"\xff\xd8\xff")
    assert finder.facts["Index"] == "24 codes of 12 bits (flat)"


def test_what_does_not_fit_the_codes_is_refused(place: Place, svg: Path, tmp_path: Path) -> None:
    other = make_space_run(tmp_path / "other", place.data)
    told = sketchdata("search", place.index, svg, "--run", other, expect=1).stderr
    assert "codes of 12 bits by another network" in told
    assert "give its run with --run" in sketchdata("search", place.index, svg, expect=1).stderr
    with pytest.raises(ConfigError, match="joined of photos alone"):
        index.run(place.codes, index.Config(out=tmp_path / "i", split="unseen-drawings,unseen-photos"))
    with pytest.raises(ConfigError, match="index is of photos"):
        open_index(place.index).encoder(place.run)
    assert "leave them out" in sketchdata("evaluate", place.codes, "--generalised", expect=1).stderr


@pytest.mark.slow
@pytest.mark.parametrize("domain", [DRAWINGS, PHOTOS])
def test_onnxruntime_gives_the_same_codes(domain: str, place: Place, tmp_path: Path) -> None:
    told = json.loads(
        sketchdata("export", "onnx", place.run, "--domain", domain, "--out", tmp_path / "f.onnx", "--json").stdout
    )
    assert told["inputs"] == {"picture": ["batch", 3, 16, 16]}
    assert told["outputs"] == {"value": ["batch", BITS], "bits": ["batch", BITS]}
    assert (told["metadata"]["domain"], told["metadata"]["bits"], told["metadata"]["trainer"]) == (domain, "12", "zsih")
    pictures = getattr(read_group(place.data, UNSEEN, size=16), domain)
    given = pictures.pictures(torch.arange(len(pictures)), 16).numpy()
    value, bits = onnxruntime.InferenceSession(tmp_path / "f.onnx").run(["value", "bits"], {"picture": given})
    near = np.abs(value - 0.5) < 1e-4
    assert (near | (bits == embed(read_space(place.run), pictures, domain))).all()
    assert near.mean() < 0.2
    assert bits.dtype == np.uint8


@pytest.mark.slow
def test_onnxruntime_gives_the_same_vectors_of_a_space(place: Place, tmp_path: Path) -> None:
    run = make_space_run(tmp_path / "run", place.data)
    export_space(run, tmp_path / "space.onnx", PHOTOS)
    photos = read_group(place.data, UNSEEN, size=16).photos
    given = photos.pictures(torch.arange(len(photos)), 16).numpy()
    (found,) = onnxruntime.InferenceSession(tmp_path / "space.onnx").run(["vector"], {"picture": given})
    np.testing.assert_allclose(found, embed(read_space(run), photos, PHOTOS), rtol=1e-4, atol=1e-4)
