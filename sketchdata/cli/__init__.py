"""The `sketchdata` command: options become a Config, a recipe runs it, and no user sees a traceback."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import select
import sys
from typing import Any

import click

from sketchdata import __version__
from sketchdata.errors import InterruptedRunError, SketchDataError

_MARK = "Example: "


def paragraphs(text: str) -> list[str]:
    """Split a command's help into paragraphs, the lines of each joined."""
    blocks = re.split(r"\n\s*\n", inspect.cleandoc(text))
    return [" ".join(line.strip() for line in block.splitlines()) for block in blocks if block.strip()]


def example_of(paragraph: str) -> str | None:
    """Return the shell command that a paragraph gives as an example; None for prose."""
    return paragraph.removeprefix(_MARK) if paragraph.startswith(_MARK) else None


class HelpFormatter(click.HelpFormatter):
    """Wraps prose like Click, and breaks an example only before an option, with the backslash that a shell wants."""

    def write_text(self, text: str) -> None:
        """Write a command's help."""
        for number, paragraph in enumerate(paragraphs(text)):
            if number:
                self.write_paragraph()
            if paragraph.startswith(_MARK):
                self._write_example(paragraph)
            else:
                super().write_text(paragraph)

    def _write_example(self, paragraph: str) -> None:
        indent = " " * self.current_indent
        first, *rest = re.split(r" (?=--?[a-z])", paragraph)
        line = indent + first
        for piece in rest:
            if len(line) + len(f" {piece} \\") > self.width:
                self.write(f"{line} \\\n")
                line = f"{indent}    {piece}"
            else:
                line += f" {piece}"
        self.write(f"{line}\n")


class HelpContext(click.Context):
    """Makes a command's help with the formatter above."""

    formatter_class = HelpFormatter


class LazyGroup(click.Group):
    """A group whose commands are named as `module:attribute`, each with its line of help.

    Args:
        lazy: {command name: (import path, short help)}.
        **settings: Passed on to `click.Group`.
    """

    context_class = HelpContext

    def __init__(self, *, lazy: dict[str, tuple[str, str]], **settings: Any) -> None:
        super().__init__(**settings)
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which they are used, not the alphabet's."""
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in self.lazy:
            return None
        module, _, attribute = self.lazy[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        # Here every command passes by, so none has to remember to ask for it.
        command.context_class = HelpContext
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.lazy.items()])


def _group(name: str, text: str, example: str, lazy: dict[str, tuple[str, str]]) -> LazyGroup:
    return LazyGroup(name=name, lazy=lazy, help=f"{text}\n\nExample: sketchdata {example}", no_args_is_help=True)


# Not called `download` and so on: importing sketchdata.cli.download binds that name to the module.
download_group = _group(
    "download",
    "Download official files.",
    "download quickdraw --categories star,cat",
    {
        "quickdraw": (
            "sketchdata.cli.data:download_quickdraw",
            "The official Quick, Draw! files, resumable and verified.",
        )
    },
)
build_group = _group(
    "build",
    "Build a data set.",
    "build quickdraw-3.8m --out data/quickdraw-3.8m",
    {
        "quickdraw-3.8m": ("sketchdata.cli.data:build_quickdraw", "345 classes × 9,000/1,000/1,000/100 drawings."),
        "edgemap-345c": (
            "sketchdata.cli.data:build_edgemap",
            "Curated edge maps of 345 classes, split and sharded.",
        ),
    },
)
export_group = _group(
    "export",
    "Export a data set to another format.",
    "export webdataset data/quickdraw-3.8m --out tars",
    {
        "webdataset": ("sketchdata.cli.exports:export_webdataset", "Tar shards for webdataset.WebDataset."),
        "ndjson": ("sketchdata.cli.exports:export_ndjson", "The official one-drawing-a-line text."),
        "bitmaps": ("sketchdata.cli.exports:export_bitmaps", "The official 28 × 28 bitmaps, or other sizes."),
        "onnx": ("sketchdata.cli.exports:export_onnx", "A trained network, to be run without torch."),
        "codes": ("sketchdata.cli.exports:export_codes", "Binary codes as the arrays of DeepHash."),
        "lists": ("sketchdata.cli.exports:export_lists", "The lists of files and classes of HashNet."),
        "splits": ("sketchdata.cli.exports:export_splits", "Seen, validation and unseen classes, for zero-shot work."),
    },
)
audit_group = _group(
    "audit",
    "Find noise and duplicates in a data set, and sum it up.",
    "audit entropy data/quickdraw-3.8m",
    {
        "entropy": ("sketchdata.cli.audit:entropy", "Too little or too much ink for the class."),
        "duplicates": ("sketchdata.cli.audit:duplicates", "Exactly equal drawings, within and across splits."),
        "summary": ("sketchdata.cli.audit:summary", "Strokes, points, countries, recognized share."),
        "report": ("sketchdata.cli.audit:report", "One HTML file: classes, histograms, examples."),
        "serve": ("sketchdata.cli.audit:serve", "The curation page: keep and drop drawings."),
        "apply": ("sketchdata.cli.audit:apply", "A curated data set: noise and dropped drawings removed."),
    },
)
edgemaps_group = _group(
    "edgemaps",
    "Turn photos into edge maps: collect, crop, extract, curate.",
    "edgemaps collect --yolo photos/coco128 --out photos",
    {
        "collect": ("sketchdata.cli.edgemaps:collect", "Photos from folders, lists and search, politely."),
        "generate": ("sketchdata.cli.edgemaps:generate", "Photos drawn by a program, to try the rest with."),
        "crop": ("sketchdata.cli.edgemaps:crop", "One photo of each annotated object, duplicates removed."),
        "extract": ("sketchdata.cli.edgemaps:extract", "Centred edge maps, by any detector."),
        "curate": ("sketchdata.cli.edgemaps:curate", "Score every edge map's messiness within its class."),
        "report": ("sketchdata.cli.edgemaps:report", "One HTML file: classes, scores, photos, licences."),
        "serve": ("sketchdata.cli.edgemaps:serve", "The curation page: keep and drop edge maps."),
        "bench": ("sketchdata.cli.edgemaps:bench", "Compare detectors on the BSDS500 boundary benchmark."),
        "vectors": ("sketchdata.cli.edgemaps:vectors", "What a class's edge maps have in common, as a vector."),
    },
)
import_group = _group(
    "import",
    "Import what other tools wrote.",
    "import codes deephash --out codes",
    {
        "codes": ("sketchdata.cli.exports:import_codes", "Binary codes from the arrays of DeepHash."),
        "lists": ("sketchdata.cli.exports:import_lists", "The lists of files and classes of HashNet."),
        "splits": (
            "sketchdata.cli.exports:import_splits",
            "Seen and unseen classes from the lists of SAKE and ZSE-SBIR.",
        ),
        "vectors": ("sketchdata.cli.exports:import_vectors", "Vectors of class names from published word vectors."),
    },
)
index_group = _group(
    "index",
    "Make codes searchable.",
    "index build codes --out index",
    {"build": ("sketchdata.cli.search:build_index", "An index of codes: exact, or approximate and faster.")},
)
bench_group = _group(
    "bench",
    "Compare methods on the same data, beside the papers' figures.",
    "bench hashing --data data/quickdraw-3.8m --out bench",
    {
        "hashing": ("sketchdata.cli.bench:hashing", "Deep and shallow hashing, ours beside the papers'."),
        "edgemap": ("sketchdata.cli.bench:edgemap", "Networks that tell the classes of edge maps."),
        "zsl": ("sketchdata.cli.bench:zsl", "Zero-shot recognition, ours beside the paper's."),
    },
)
train_group = _group(
    "train",
    "Train a model.",
    "train edge-detector --data photos/bsds500 --out runs/edges",
    {
        "edge-detector": ("sketchdata.cli.train:edge_detector", "A small network that finds the edges of photos."),
        "recognition": ("sketchdata.cli.train:recognition", "The dual-branch network that recognises drawings."),
        "hashing": ("sketchdata.cli.train:hashing", "The same network, for binary codes of drawings."),
        "edgemap": ("sketchdata.cli.train:edgemap", "A network that tells the classes of edge maps."),
        "zsl": ("sketchdata.cli.train:zsl", "Zero-shot recognition, of classes never seen drawn."),
        "hashing-baselines": ("sketchdata.cli.train:hashing_baselines", "Other deep hashing methods, to compare with."),
        "sketchcode": (
            "sketchdata.cli.train:sketchcode",
            "Our own recipe for binary codes, without a recurrent branch.",
        ),
    },
)
root = _group(
    "sketchdata",
    "Build, check and share data sets of free-hand sketches.",
    "build quickdraw-3.8m --out data/quickdraw-3.8m",
    {
        "download": ("sketchdata.cli:download_group", "Download official files."),
        "synth": ("sketchdata.cli.data:synth", "Generate drawings in the official formats."),
        "build": ("sketchdata.cli:build_group", "Build a data set: split, sharded, listed."),
        "verify": ("sketchdata.cli.dataset:verify", "Check a built data set against its manifest."),
        "info": ("sketchdata.cli.dataset:info", "Describe a built data set."),
        "show": ("sketchdata.cli.dataset:show", "Draw a contact sheet of drawings."),
        "audit": ("sketchdata.cli:audit_group", "Find noise and duplicates in a data set."),
        "export": ("sketchdata.cli:export_group", "Export a data set to another format."),
        "edgemaps": ("sketchdata.cli:edgemaps_group", "Turn photos into edge maps: collect to curate."),
        "train": ("sketchdata.cli:train_group", "Train a model."),
        "evaluate": ("sketchdata.cli.recognise:evaluate", "Measure how well a trained network recognises drawings."),
        "recognise": ("sketchdata.cli.recognise:recognise", "Tell what drawings show, by a trained network."),
        "encode": ("sketchdata.cli.search:encode", "Turn drawings into binary codes by a trained network."),
        "index": ("sketchdata.cli:index_group", "Make codes searchable."),
        "search": ("sketchdata.cli.search:search", "Find the drawings that are nearest to a drawing."),
        "bench": ("sketchdata.cli:bench_group", "Compare methods, ours beside the papers'."),
        "import": ("sketchdata.cli:import_group", "Import what other tools wrote."),
        "convert": ("sketchdata.cli.data:convert", "Convert drawings between formats."),
    },
)
root.context_settings = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
click.version_option(__version__, prog_name="sketchdata")(root)


def main() -> None:
    """Run the command line: exit 0 on success, 1 on a fault, 2 on wrong usage, 130 on Ctrl-C."""
    if "_SKETCHDATA_COMPLETE" in os.environ:
        root.main(prog_name="sketchdata")  # the shell asks for completions; Click answers and exits
    try:
        # Not root.main(): it would turn a closed pipe into exit code 1.
        with root.make_context("sketchdata", sys.argv[1:]) as context:
            root.invoke(context)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        _say("\nstopped; what was finished is kept, and the same command goes on from there")
        sys.exit(130)
    except InterruptedRunError as error:
        _say(str(error))
        sys.exit(130)
    except SketchDataError as error:
        _say(f"error: {error}")
        sys.exit(1)
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _reader_left():
            sys.exit(0)
        # A full disk, a missing permission, a path that is a folder: the system's own words name it best.
        _say(f"error: {error}")
        sys.exit(1)


def _reader_left() -> bool:
    """Tell whether it is standard output that broke (`| head`), which is not a fault, and not another pipe."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)
    if not output.poll(0):
        return False
    # Python would complain again at exit, when it flushes what is left.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _say(text: str) -> None:
    click.echo(text, err=True)
