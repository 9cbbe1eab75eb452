"""`sketchdata encode`, `index`, `search` and `serve`: drawings become codes, and codes are searched."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from sketchdata import __version__
from sketchdata.cli.output import JSON, PlainTable, bytes_of, counted, echo_json, end_with, print_tables
from sketchdata.config import FILE, FOLDER, PATH, options
from sketchdata.errors import ConfigError
from sketchdata.pipelines import encode as encode_recipe
from sketchdata.pipelines import index as index_recipe
from sketchdata.pipelines import search as search_recipe
from sketchdata.pipelines import serve as serve_recipe
from sketchdata.retrieval.index import Index
from sketchdata.retrieval.vector_index import VectorIndex


@click.command()
@click.argument("run", type=FOLDER)
@click.argument("data", type=PATH)
@JSON
@options(config=encode_recipe.Config)
def encode(run: Path, data: Path, as_json: bool, config: encode_recipe.Config) -> None:
    """Compute binary codes or vectors of drawings, or of drawings and photos, with the network in RUN.

    DATA is a data set, tars of it, or bitmaps, of any classes. Writes one Parquet file per split, with key_id, label
    and code, and a manifest. Bitmaps have no key_ids; the row numbers in the split replace them. The same command
    resumes an interrupted run; on the CPU, it gives the same bytes.

    If RUN is a training on drawings and photos (`sketchdata train sbir`, `sketchdata train zsih`), DATA is a folder
    that `sketchdata build sbir` made, and --splits names groups (seen, validation, unseen) or splits (unseen-photos).
    Files of `train sbir` have key_id, label and vector, those of `train zsih` key_id, label and code.

    Of a run of `sketchdata train dsf`, --layer chooses the layers that become vectors of length 1.

    Example: sketchdata encode runs/hashing data/quickdraw-3.8m --out codes

    Example: sketchdata encode runs/sbir data/sbir --splits all --out vectors
    """
    started = time.monotonic()
    manifest = encode_recipe.run(run, data, config)
    splits, size = manifest.splits, bytes_of(manifest)
    if as_json:
        kept = ("bits", "model", "ids", "width", "precision", "layer")
        facts = {name: manifest.config[name] for name in kept if name in manifest.config}
        echo_json({"out": str(config.out), **facts, "splits": splits, "classes": len(manifest.classes), "bytes": size})
        return
    click.echo(f"{config.out}: {sum(splits.values()):,} {_measured(manifest.config)} ({counted(splits)})")
    click.echo(f"{size / 1e6:,.1f} MB; {time.monotonic() - started:.1f} s")
    click.echo(f"Search them with: sketchdata index build {config.out} --out INDEX")


def _measured(config: Mapping[str, Any]) -> str:
    if "bits" in config:
        return f"codes of {config['bits']} bits"
    return f"vectors of {config['width']:,} {config['precision']} values"


@click.command("build")
@click.argument("codes", type=FOLDER)
@JSON
@options(config=index_recipe.Config)
def build_index(codes: Path, as_json: bool, config: index_recipe.Config) -> None:
    """Build an index over the binary codes or the vectors in the folder CODES, for `sketchdata search`.

    The kind `flat` compares with every code: exact, and fast enough for millions. `ivf`, `hnsw` and `multihash`, by
    faiss, are approximate: they may miss some of the nearest. docs/how-to/retrieval.md compares their speed and recall.

    Example: sketchdata index build codes --out index

    Over vectors, `flat` is exact too; `hnsw` and `ivf-pq` are approximate, for large collections; `itq` learns binary
    codes of --bits, which take less space.

    Example: sketchdata index build codes --out index-hnsw --kind hnsw

    Example: sketchdata index build vectors --out photo-index --split unseen-photos --kind itq --bits 64
    """
    started = time.monotonic()
    manifest = index_recipe.run(codes, config)
    kept = ("kind", "split", "splits", "bits", "width", "fit", "data", "model")
    facts = {name: manifest.config[name] for name in kept if name in manifest.config}
    count, size = sum(manifest.splits.values()), bytes_of(manifest)
    if as_json:
        noun = "vectors" if "width" in facts else "codes"
        echo_json({"out": str(config.out), **facts, noun: count, "bytes": size})
        return
    splits = ", ".join(facts.get("splits") or [facts["split"]])
    learned = f", learned from {facts['fit']}" if "fit" in facts else ""
    click.echo(f"{config.out}: {facts['kind']} over {count:,} {_measured(manifest.config)} ({splits}){learned}")
    click.echo(f"{size / 1e6:,.1f} MB; {time.monotonic() - started:.1f} s")


@click.command()
@click.argument("index", type=FOLDER)
@click.argument("queries", metavar="QUERY...", nargs=-1, required=True)
@JSON
@click.option(
    "--html",
    "sheet",
    type=FILE,
    help="Write a page with drawings or photos to this file instead; they come from --data.",
)
@options(config=search_recipe.Config)
def search(
    index: Path, queries: tuple[str, ...], as_json: bool, sheet: Path | None, config: search_recipe.Config
) -> None:
    """Find the drawings or photos in an index that are nearest to each QUERY.

    Codes are compared by their Hamming distance, vectors by their Euclidean distance; an index of the kind `itq` has
    codes of vectors. In an index over photos, a key_id names a photo.

    A QUERY is a key_id, an .ndjson file (every line of it, or one: FILE.ndjson#3), an .svg file or a picture (.png,
    .jpg, .webp, .gif, .bmp, .avif or .tif). If one of several files cannot be read, the others are still answered, and
    the exit code is 1. Results at the same distance are in the order of their key_ids. A hit is a drawing or photo of
    the query's class, which .ndjson files and key_ids state and --class gives for other files. The strokes of a picture
    are traced; their order is unknown.

    Example: sketchdata search index --run runs/hashing cat.svg --class cat

    Example: sketchdata search photo-index --run runs/sbir cat.svg --data data/sbir --html found.html

    Example: sketchdata search index --run runs/hashing cat.ndjson#3 -k 10 --data data/quickdraw-3.8m --html cats.html

    Example: sketchdata search index --run runs/hashing cat.ndjson#3 --beside other-index=runs/dlbhc -k 36 \
        --data data/quickdraw-3.8m --html cats.html
    """
    if as_json and sheet is not None:
        raise click.UsageError("--json and --html exclude each other: give one of them")
    if sheet is not None and config.data is None:
        raise ConfigError("--html needs --data, the data set that the drawings or photos come from")
    if config.beside and sheet is None:
        raise ConfigError("--beside needs --html, the page that shows several runs")
    found = search_recipe.run(index, queries, config)
    if as_json:
        echo_json(
            {
                "index": _about(found.index),
                "queries": [_plain(answer) for answer in found.answers],
                "unreadable": [{"file": one.name, "reason": one.reason} for one in found.unreadable],
            }
        )
        end_with(found.unreadable)
        return
    for answer in found.answers:
        if answer.note is not None:
            click.echo(f"{answer.query.name}: {answer.note}", err=True)
    if sheet is not None and config.data is not None and found.index.of_photos:
        if config.beside:
            raise ConfigError("--beside works with drawings, and the index is over photos: leave out --beside")
        _write_photos(found, config.data, sheet)
    elif sheet is not None and config.data is not None:
        _write_sheet([found, *search_recipe.run_beside(queries, config)], config.data, sheet)
    else:
        for answer in found.answers:
            _print(answer)
    end_with(found.unreadable)


def _about(index: Index | VectorIndex) -> dict[str, Any]:
    if isinstance(index, Index):
        return {"kind": index.kind, "bits": index.bits, "codes": len(index), "split": index.facts.get("split")}
    bits = None if index.codes is None else index.codes.bits
    return {
        "kind": index.kind,
        "width": index.width,
        "bits": bits,
        "vectors": len(index),
        "splits": index.facts.get("splits"),
    }


def _plain(answer: search_recipe.SearchAnswer) -> dict[str, Any]:
    # key_ids as text, since JavaScript's numbers hold 53 bits.
    return {
        "query": answer.query.name,
        "key_id": None if answer.query.key_id is None else str(answer.query.key_id),
        "class": answer.query.word,
        "note": answer.note,
        "results": [
            {"rank": r.rank, "key_id": str(r.key_id), "class": r.word, "distance": r.distance, "hit": r.hit}
            for r in answer.results
        ],
    }


def _print(answer: search_recipe.SearchAnswer) -> None:
    said = f" ({answer.query.word})" if answer.query.word else ""
    table = PlainTable(title=answer.query.name + said, title_justify="left")
    for title in ("rank", "key_id", "class", "distance"):
        table.add_column(title, justify="left" if title == "class" else "right")
    judged = any(result.hit is not None for result in answer.results)
    if judged:
        table.add_column("hit")
    for result in answer.results:
        mark = ("✓" if result.hit else "✗",) if judged else ()
        table.add_row(
            str(result.rank),
            str(result.key_id),
            result.word,
            f"{result.distance:.3f}" if isinstance(result.distance, float) else str(result.distance),
            *mark,
        )
    print_tables(table)


def _write_sheet(runs: Sequence[search_recipe.SearchAnswers], data: Path, path: Path) -> None:
    from sketchdata.storage.manifest import replacing
    from sketchdata.web.pages import Neighbour, SheetRow, render_search

    drawings = {key_id: drawing for found in runs for key_id, drawing in search_recipe.drawings_of(found, data).items()}
    # Two runs may have the same name in different folders.
    names = [found.name if len(runs) == 1 else f"{number}. {found.name}" for number, found in enumerate(runs, 1)]
    rows = []
    for answers in zip(*(found.answers for found in runs), strict=True):
        query, notes = answers[0].query, dict.fromkeys(answer.note for answer in answers if answer.note)
        neighbours = {
            name: [
                Neighbour(drawing=drawings[r.key_id], word=r.word, distance=r.distance, hit=r.hit)
                for r in answer.results
            ]
            for name, answer in zip(names, answers, strict=True)
        }
        rows.append(
            SheetRow(
                name=query.name,
                word=query.word,
                drawing=query.drawing or drawings[query.key_id or 0],
                runs=neighbours,
                note="; ".join(notes) or None,
            )
        )
    index = "; ".join(
        f"{f'{name}: ' * (len(runs) > 1)}{about['codes']:,} codes of {about['bits']} bits ({about['kind']})"
        for name, about in zip(names, (_about(found.index) for found in runs), strict=True)
    )
    with replacing(path) as file:
        file.write(render_search(rows, index=index, version=__version__))
    click.echo(f"{path}: {len(rows):,} {'query' if len(rows) == 1 else 'queries'}, {path.stat().st_size / 1e3:,.0f} kB")


def _write_photos(found: search_recipe.SearchAnswers, data: Path, path: Path) -> None:
    from sketchdata.storage.manifest import replacing
    from sketchdata.web.pages import BITS, Neighbour, SheetRow, render_search

    photos, about = search_recipe.photos_of(found, data), _about(found.index)
    rows = []
    for answer in found.answers:
        neighbours = [
            Neighbour(
                drawing=photos[r.key_id].thumbnail,
                word=r.word,
                distance=r.distance,
                hit=r.hit,
                title=str(r.key_id),
                credit=photos[r.key_id].credit,
                page=photos[r.key_id].page,
            )
            for r in answer.results
        ]
        query = answer.query
        picture = query.drawing or photos[query.key_id or 0].thumbnail
        runs = {found.name: neighbours}
        rows.append(SheetRow(name=query.name, word=query.word, drawing=picture, runs=runs, note=answer.note))
    kept = f"codes of {about['bits']} bits" if about["bits"] else f"vectors of {about['width']:,} values"
    content = render_search(
        rows,
        index=f"{len(found.index):,} {kept} ({found.index.kind})",
        version=__version__,
        nouns="photos",
        number=BITS if about["bits"] else "the Euclidean distance of its vector from the query's",
    )
    with replacing(path) as file:
        file.write(content)
    click.echo(f"{path}: {len(rows):,} {'query' if len(rows) == 1 else 'queries'}, {path.stat().st_size / 1e3:,.0f} kB")


@click.command()
@click.argument("index", type=FOLDER)
@JSON
@options(config=serve_recipe.Config)
def serve(index: Path, as_json: bool, config: serve_recipe.Config) -> None:
    """Serve a page to draw on, which shows the nearest drawings or photos in INDEX while you draw.

    Pictures and SVG files can be dropped on the page. The server listens on 127.0.0.1 only, and the page makes no
    requests to other machines. --json prints the address when the page is ready. It needs the extra `web`.

    Example: sketchdata serve index --run runs/hashing --data data/quickdraw-3.8m

    Example: sketchdata serve photo-index --run runs/sbir
    """

    def announce(facts: dict[str, Any]) -> None:
        if as_json:
            echo_json(facts)
        else:
            click.echo(f"Draw to search {facts['count']:,} {facts['nouns']} at {facts['address']} (Ctrl-C ends)")

    serve_recipe.run(index, config, announce)
