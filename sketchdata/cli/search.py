"""`sketchdata encode`, `index` and `search`: drawings become codes, and codes are searched."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table

from sketchdata import __version__
from sketchdata.cli.output import echo_json, print_tables
from sketchdata.config import options
from sketchdata.errors import ConfigError
from sketchdata.pipelines import encode as encode_recipe
from sketchdata.pipelines import index as index_recipe
from sketchdata.pipelines import search as search_recipe


@click.command()
@click.argument("run", type=click.Path(file_okay=False, path_type=Path))
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON on standard output.")
@options(config=encode_recipe.Config)
def encode(run: Path, data: Path, as_json: bool, config: encode_recipe.Config) -> None:
    """Turn the drawings in DATA into binary codes, by the trained network in the folder RUN.

    DATA is a built data set or bitmaps, of any classes. Writes a Parquet file a split with key_id, label and code, and
    a manifest. Bitmaps have no key_ids: the number of the row in its split stands for it. The same command goes on
    after an interruption; on the CPU, it gives the same bytes.

    Example: sketchdata encode runs/hashing data/quickdraw-3.8m --out codes
    """
    started = time.monotonic()
    manifest = encode_recipe.run(run, data, config)
    bits, splits = manifest.config["bits"], manifest.splits
    if as_json:
        told = {
            "out": str(config.out),
            "bits": bits,
            "model": manifest.config["model"],
            "ids": manifest.config["ids"],
            "splits": splits,
            "classes": len(manifest.classes),
            "bytes": sum(file.bytes for file in manifest.files),
        }
        echo_json(told)
        return
    counts = ", ".join(f"{split} {count:,}" for split, count in splits.items())
    size = sum(file.bytes for file in manifest.files) / 1e6
    click.echo(f"{config.out}: {sum(splits.values()):,} codes of {bits} bits ({counts})")
    click.echo(f"{size:,.1f} MB; {time.monotonic() - started:.1f} s")
    click.echo(f"Search them with: sketchdata index build {config.out} --out INDEX")


@click.command("build")
@click.argument("codes", type=click.Path(file_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON on standard output.")
@options(config=index_recipe.Config)
def build_index(codes: Path, as_json: bool, config: index_recipe.Config) -> None:
    """Build an index over the binary codes in the folder CODES, to be searched by `sketchdata search`.

    The kind `flat` looks at every code: exact, and fast enough for millions. `ivf`, `hnsw` and `multihash` are faiss',
    and approximate: they may miss some of the nearest. docs/how-to/retrieval.md has how fast and how good they are.

    Example: sketchdata index build codes --out index

    Example: sketchdata index build codes --out index-hnsw --kind hnsw
    """
    started = time.monotonic()
    manifest = index_recipe.run(codes, config)
    told = {
        "out": str(config.out),
        "kind": manifest.config["kind"],
        "split": manifest.config["split"],
        "bits": manifest.config["bits"],
        "model": manifest.config["model"],
        "codes": sum(manifest.splits.values()),
        "bytes": sum(file.bytes for file in manifest.files),
    }
    if as_json:
        echo_json(told)
        return
    click.echo(f"{config.out}: {told['kind']} over {told['codes']:,} codes of {told['bits']} bits ({told['split']})")
    click.echo(f"{told['bytes'] / 1e6:,.1f} MB; {time.monotonic() - started:.1f} s")


@click.command()
@click.argument("index", type=click.Path(file_okay=False, path_type=Path))
@click.argument("queries", metavar="QUERY...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
@click.option(
    "--html",
    "sheet",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a page with the drawings to this file instead; they come from --data.",
)
@options(config=search_recipe.Config)
def search(
    index: Path, queries: tuple[str, ...], as_json: bool, sheet: Path | None, config: search_recipe.Config
) -> None:
    """Find the drawings in an index that are nearest to others, by the Hamming distance of their codes.

    A QUERY is a key_id, an .ndjson file (every line of it, or one: FILE.ndjson#3), an .svg or a .png file. Drawings
    equally far away come by rising key_id. A hit is a drawing of the query's class, which .ndjson and key_ids tell and
    --class says of the others. Of a picture, strokes are traced; in which order they were drawn, it does not tell.

    Example: sketchdata search index --run runs/hashing cat.svg --class cat

    Example: sketchdata search index --run runs/hashing cat.ndjson#3 -k 10 --data data/quickdraw-3.8m --html cats.html
    """
    if as_json and sheet is not None:
        raise click.UsageError("--json and --html are two ways to show the same: take one")
    if sheet is not None and config.data is None:
        raise ConfigError("--html shows drawings: name the data set that they are in by --data")
    found = search_recipe.run(index, queries, config)
    if as_json:
        echo_json(_plain(found))
        return
    for answer in found.answers:
        if answer.note is not None:
            click.echo(f"{answer.query.name}: {answer.note}", err=True)
    if sheet is not None and config.data is not None:
        _write_sheet(found, config.data, sheet)
        return
    for answer in found.answers:
        _print(answer)


def _plain(found: search_recipe.Found) -> dict[str, Any]:
    """Return all answers as plain values; key_ids as text, since JavaScript's numbers hold 53 bits."""
    index = found.index
    return {
        "index": {"kind": index.kind, "bits": index.bits, "codes": len(index), "split": index.facts.get("split")},
        "queries": [
            {
                "query": answer.query.name,
                "key_id": None if answer.query.key_id is None else str(answer.query.key_id),
                "class": answer.query.word,
                "note": answer.note,
                "results": [
                    {"rank": r.rank, "key_id": str(r.key_id), "class": r.word, "distance": r.distance, "hit": r.hit}
                    for r in answer.results
                ],
            }
            for answer in found.answers
        ],
    }


def _print(answer: search_recipe.Answer) -> None:
    said = f" ({answer.query.word})" if answer.query.word else ""
    table = Table(title=escape(answer.query.name + said), title_justify="left")
    for title in ("rank", "key_id", "class", "distance"):
        table.add_column(title, justify="left" if title == "class" else "right")
    judged = any(result.hit is not None for result in answer.results)
    if judged:
        table.add_column("hit")
    for result in answer.results:
        mark = ("✓" if result.hit else "✗",) if judged else ()
        table.add_row(str(result.rank), str(result.key_id), escape(result.word), str(result.distance), *mark)
    print_tables(table)


def _write_sheet(found: search_recipe.Found, data: Path, path: Path) -> None:
    from sketchdata.storage.manifest import replacing
    from sketchdata.web.pages import Neighbour, SheetRow, render_search

    drawings = search_recipe.drawings_of(found, data)
    rows = [
        SheetRow(
            name=answer.query.name,
            word=answer.query.word,
            drawing=answer.query.drawing or drawings[answer.query.key_id or 0],
            neighbours=[
                Neighbour(drawing=drawings[r.key_id], word=r.word, distance=r.distance, hit=r.hit)
                for r in answer.results
            ],
            note=answer.note,
        )
        for answer in found.answers
    ]
    index = f"{len(found.index):,} codes of {found.index.bits} bits ({found.index.kind})"
    with replacing(path) as file:
        file.write(render_search(rows, index=index, version=__version__))
    click.echo(f"{path}: {len(rows):,} {'query' if len(rows) == 1 else 'queries'}, {path.stat().st_size / 1e3:,.0f} kB")
