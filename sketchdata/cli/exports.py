"""`sketchdata export …` and `sketchdata import …`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import click

from sketchdata.classes.splits import SplitOptions
from sketchdata.cli.output import JSON, bytes_of, counted, echo_json
from sketchdata.config import FILE, FOLDER, PATH, options
from sketchdata.cross_domain.layouts import DOMAINS, DRAWINGS
from sketchdata.engine import EngineOptions
from sketchdata.errors import ConfigError, needs_extra
from sketchdata.pipelines import exports, imports
from sketchdata.storage.manifest import Manifest

_DIRECTORY = click.argument("directory", metavar="DIR", type=FOLDER)
_FOLDER = click.argument("directory", metavar="FOLDER", type=FOLDER)


@click.command("webdataset")
@_DIRECTORY
@options(config=exports.WebDatasetConfig, engine=EngineOptions)
def export_webdataset(directory: Path, config: exports.WebDatasetConfig, engine: EngineOptions) -> None:
    """Export the data set in DIR as tar shards for webdataset.WebDataset and for datasets.load_dataset.

    Every drawing becomes {key_id}.json, {key_id}.cls (its label) and, with --png, {key_id}.png, in tars with equally
    many drawings, in the order of the data set's rows. The bytes do not depend on workers or interruptions; the same
    command resumes an interrupted export.

    Example: sketchdata export webdataset data/quickdraw-3.8m --out tars

    Example: sketchdata export webdataset data/quickdraw-3.8m --out pictures --png 224 --splits train,val
    """
    _report(config.out, lambda: exports.export_webdataset(directory, config, engine))


@click.command("ndjson")
@_DIRECTORY
@options(config=exports.NdjsonConfig, engine=EngineOptions)
def export_ndjson(directory: Path, config: exports.NdjsonConfig, engine: EngineOptions) -> None:
    """Export the data set in DIR as the official one-drawing-per-line text, one file per category and split.

    With --merge, a category's splits become one file, laid out like the official bucket: `sketchdata build` reads such
    a folder as its --source. The bytes do not depend on workers or interruptions.

    Example: sketchdata export ndjson data/quickdraw-3.8m --out text

    Example: sketchdata export ndjson data/quickdraw-3.8m --out mirror --merge --gzip
    """
    _report(config.out, lambda: exports.export_ndjson(directory, config, engine))


@click.command("bitmaps")
@_DIRECTORY
@options(config=exports.BitmapsConfig, engine=EngineOptions)
def export_bitmaps(directory: Path, config: exports.BitmapsConfig, engine: EngineOptions) -> None:
    """Export the data set in DIR as the official bitmaps: full/numpy_bitmap/{category}.npy, uint8 (N, 784).

    A category's splits follow one another in its file, in the order of the data set's rows; row i is line i of `export
    ndjson --merge`. The official raster is cairo's and equals Google's own files; it needs the extra `cairo`.

    Example: sketchdata export bitmaps data/quickdraw-3.8m --out bitmaps

    Example: sketchdata export bitmaps data/quickdraw-3.8m --out pixels --raster fast --size 64 --splits train
    """
    _report(config.out, lambda: exports.export_bitmaps(directory, config, engine))


def _report(out: Path, export: Callable[[], Manifest | None]) -> None:
    started = time.monotonic()
    manifest = export()
    if manifest is None:
        return
    click.echo(f"{out}: {sum(manifest.splits.values()):,} drawings ({counted(manifest.splits)})")
    seconds = time.monotonic() - started
    click.echo(f"{bytes_of(manifest) / 1e6:,.1f} MB in {len(manifest.files):,} files; {seconds:.1f} s")
    click.echo(f"Check it with: sketchdata verify {out}")


@click.command("codes")
@click.argument("directory", metavar="CODES", type=FOLDER)
@JSON
@options(config=exports.ExportCodesConfig)
def export_codes(directory: Path, as_json: bool, config: exports.ExportCodesConfig) -> None:
    """Export the binary codes in CODES to the arrays of DeepHash-pytorch.

    The gallery becomes trn_binary.npy, 1 and −1, and trn_label.npy, one column per class; the queries tst_binary.npy
    and tst_label.npy. Beside them are the key_ids and the class table.

    Example: sketchdata export codes codes --format deephash --out deephash
    """
    manifest = exports.export_codes(directory, config)
    _say(manifest, config.out, "codes", as_json)
    if not as_json:
        table = config.out / exports.CLASSES_FILE
        click.echo(f"Read them back with: sketchdata import codes {config.out} --classes {table} --out CODES")


@click.command("lists")
@_DIRECTORY
@JSON
@options(config=exports.ExportListsConfig, engine=EngineOptions)
def export_lists(directory: Path, as_json: bool, config: exports.ExportListsConfig, engine: EngineOptions) -> None:
    """Export the lists of the data set in DIR: train.txt, database.txt (the gallery) and test.txt (the queries).

    A line is class/key_id.png and one column per class, as HashNet and DeepHash-pytorch read it, so that they train on
    exactly the same drawings. The pictures are not written.

    Example: sketchdata export lists data/quickdraw-3.8m --format hashnet --out lists
    """
    manifest = exports.export_lists(directory, config, engine)
    if manifest is not None:
        _say(manifest, config.out, "pictures", as_json)


def _say(manifest: Manifest, out: Path, noun: str, as_json: bool) -> None:
    size, splits, classes = bytes_of(manifest), manifest.splits, len(manifest.classes)
    if as_json:
        echo_json({"out": str(out), **manifest.config, "splits": splits, "classes": classes, "bytes": size})
        return
    click.echo(f"{out}: {sum(splits.values()):,} {noun} of {classes:,} classes ({counted(splits)})")
    click.echo(f"{size / 1e6:,.1f} MB in {len(manifest.files):,} files")


@click.command("splits")
@JSON
@options(config=exports.ExportSplitsConfig, split=SplitOptions)
def export_splits(as_json: bool, config: exports.ExportSplitsConfig, split: SplitOptions) -> None:
    """Export a split of classes into seen and unseen ones, for zero-shot work.

    A keyed hash of their names chooses the classes, so the split depends on the names and the seed alone; or the split
    is a published one, or that of a file. A share of the seen classes is kept for validation; the format sake has no
    place for validation classes, and lists them among the seen.

    Example: sketchdata export splits --seen 200 --split-seed 0 --out split.txt

    Example: sketchdata export splits --class-split quickdraw-30 --classes data/quickdraw-3.8m --format sake --out lists
    """
    exported = exports.export_splits(config, split)
    sizes = {part: len(getattr(exported.split, part)) for part in ("seen", "validation", "unseen")}
    if as_json:
        echo_json(
            {
                "out": str(config.out),
                **{part: getattr(exported.split, part) for part in sizes},
                "unknown": exported.unknown,
                "left_out": exported.left_out,
                "pictures": exported.pictures,
            }
        )
        return
    click.echo(
        f"{config.out}: {sizes['seen']:,} seen classes, {sizes['validation']:,} of them for validation, "
        f"{sizes['unseen']:,} unseen"
    )
    for name, count in exported.pictures.items():
        click.echo(f"{name}: {count:,} drawings")
    if exported.left_out:
        click.echo(f"{len(exported.left_out):,} classes are in neither list and are left out")
    if exported.unknown:
        click.echo(f"ignored {len(exported.unknown):,} unknown class names: {', '.join(exported.unknown)}")


@click.command("onnx")
@click.argument("run", type=FOLDER)
@click.option("--out", type=PATH, required=True, help="File to write, such as model.onnx.")
@click.option(
    "--opset",
    # As in sketchdata/training/onnx_export.py, which imports torch.
    type=click.IntRange(18, 23),
    default=18,
    show_default=True,
    help="Version of ONNX's operators.",
)
@click.option(
    "--domain",
    type=click.Choice(DOMAINS),
    help="Branch of a network of drawings and photos. Default: drawings.",
)
@JSON
def export_onnx(run: Path, out: Path, opset: int, domain: str | None, as_json: bool) -> None:
    """Export the network of the training in RUN as one ONNX file, for programs without torch.

    Its inputs are pictures, sequences of points or both; its outputs are the code layer's values, the bits and the
    scores of the classes. The file's metadata has the class table and the settings for making the inputs. The file is
    written only if onnxruntime computes the same outputs as torch.

    Of a network of drawings and photos (`sketchdata train sbir`, `sketchdata train zsih`) one branch is exported, whose
    input is a picture, and whose output a vector, or values and bits.

    Example: sketchdata export onnx runs/hashing-64 --out model.onnx

    Example: sketchdata export onnx runs/zsih --domain photos --out photos.onnx
    """
    with needs_extra("the ONNX export", "onnx"):
        from sketchdata.cross_domain.encoder import holds_space
        from sketchdata.cross_domain.onnx_export import export_space
        from sketchdata.training.onnx_export import export_run

    if holds_space(run):
        found = export_space(run, out, domain or DRAWINGS, opset=opset)
    elif domain is not None:
        raise ConfigError(f"--domain is of networks of drawings and photos, and {run} holds another: leave it out")
    else:
        found = export_run(run, out, opset=opset)
    if as_json:
        echo_json(found)
        return
    click.echo(f"{out}: {found['bytes'] / 1e6:,.1f} MB, opset {opset}")
    for title in ("inputs", "outputs"):
        values = ", ".join(f"{name} ({', '.join(map(str, shape))})" for name, shape in found[title].items())
        click.echo(f"{title}: {values}")


@click.command("codes")
@_FOLDER
@JSON
@options(config=imports.ImportCodesConfig)
def import_codes(directory: Path, as_json: bool, config: imports.ImportCodesConfig) -> None:
    """Import the binary codes in FOLDER, of any program, to measure them like sketchdata's own.

    FOLDER has the arrays of DeepHash-pytorch: {trn,tst}_binary.npy, rows of 1 and −1 or of 1 and 0, and
    {trn,tst}_label.npy, one column per class or indices; trn is the gallery, tst the queries. Rows of several classes
    are refused. No file is unpickled.

    Example: sketchdata import codes save/DPSH/cifar10-1_48bits_0.7731 --out codes
    """
    manifest = imports.import_codes(directory, config)
    splits, bits, classes = manifest.splits, manifest.config["bits"], len(manifest.classes)
    if as_json:
        ids = manifest.config["ids"]
        echo_json({"out": str(config.out), "bits": bits, "ids": ids, "splits": splits, "classes": classes})
        return
    click.echo(
        f"{config.out}: {sum(splits.values()):,} codes of {bits} bits, of {classes:,} classes ({counted(splits)})"
    )


@click.command("lists")
@_FOLDER
@JSON
@options(config=imports.ImportListsConfig)
def import_lists(directory: Path, as_json: bool, config: imports.ImportListsConfig) -> None:
    """Import the lists in FOLDER, train.txt, database.txt and test.txt of HashNet, as tables.

    A line of a list is a picture's path and one column per class, 1 in its own. Writes train.csv, gallery.csv and
    query.csv: path, key_id where the file's name is one, and class. Pictures of several classes are refused.

    Example: sketchdata import lists HashNet/data/cifar10 --out lists
    """
    counts = imports.import_lists(directory, config)
    if as_json:
        echo_json({"out": str(config.out), "splits": counts})
        return
    click.echo(f"{config.out}: {sum(counts.values()):,} pictures ({counted(counts)})")


@click.command("splits")
@_FOLDER
@JSON
@options(config=imports.ImportSplitsConfig)
def import_splits(directory: Path, as_json: bool, config: imports.ImportSplitsConfig) -> None:
    """Import a split of classes from the lists of SAKE or ZSE-SBIR in FOLDER.

    FOLDER has cname_cid.txt, the seen classes, and cname_cid_zero.txt, the unseen ones. Lists of pictures beside them,
    such as sketch_zero.txt or all_photo_filelist_train.txt, are checked and counted, and --pictures writes them as one
    table. Writes a file for --class-split.

    Example: sketchdata import splits zse-sbir/Sketchy/zeroshot1 --out sketchy.txt --pictures sketchy-pictures.csv
    """
    lists = imports.import_splits(directory, config)
    pictures = {
        name: {"pictures": len(own.paths), "classes": len(set(own.labels.tolist()))}
        for name, own in lists.pictures.items()
    }
    if as_json:
        told = {"seen": lists.seen, "unseen": lists.unseen, "pictures": pictures, "not_read": lists.others}
        echo_json({"out": str(config.out), **told})
        return
    click.echo(f"{config.out}: {len(lists.seen):,} seen classes, {len(lists.unseen):,} unseen")
    for name, counts in pictures.items():
        click.echo(f"{name}: {counts['pictures']:,} pictures of {counts['classes']:,} classes, checked")
    if config.pictures is not None:
        click.echo(f"{config.pictures}: {sum(counts['pictures'] for counts in pictures.values()):,} pictures")
    if lists.others:
        click.echo(f"not read, because their names are not those of lists: {', '.join(lists.others)}", err=True)


@click.command("vectors")
@click.argument("file", type=FILE)
@JSON
@options(config=imports.ImportVectorsConfig)
def import_vectors(file: Path, as_json: bool, config: imports.ImportVectorsConfig) -> None:
    """Import the word vectors in FILE as vectors of classes, for zero-shot recognition.

    FILE is text with one word and its values per line, as of GloVe and fastText (.vec), or a .bin file of word2vec,
    gzipped or not, or a .npy file with --words. Spelling does not matter: `wine bottle` takes the vector of
    `Wine_Bottle`. A name of several words that has no vector takes the mean of its words' vectors. Writes one Parquet
    file with word, count (the number of averaged words) and vector. A file of that name is replaced.

    Example: sketchdata import vectors glove.6B.300d.txt --out glove.parquet

    Example: sketchdata import vectors clip.npy --words names.txt --classes data/quickdraw-3.8m --out clip.parquet
    """
    started = time.monotonic()
    found = imports.import_vectors(file, config)
    if as_json:
        echo_json(found)
        return
    if missing := found["missing"]:
        click.echo(f"left out {len(missing):,} classes without a vector: {', '.join(missing)}", err=True)
    means = [f"{name} ({', '.join(words)})" for name, words in found["stand_ins"].items() if len(words) > 1]
    if means:
        click.echo(f"means of several words: {len(means):,}: {', '.join(means)}", err=True)
    click.echo(
        f"{config.out}: {found['classes']:,} classes × {found['width']:,} values; {time.monotonic() - started:.1f} s"
    )
