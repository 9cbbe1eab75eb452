"""The `sketchdata` command: options become a Config, a recipe runs it, and no user sees a traceback."""

from __future__ import annotations

import importlib
import inspect
import io
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
    """A group that imports a command when it is used.

    Args:
        help: The group's help.
        commands: {name: a group, or the place of a command as `module:attribute` within `sketchdata.cli`, and its line
            in the list of commands}, in the order of that list.
        **settings: Passed on to `click.Group`.
    """

    context_class = HelpContext

    def __init__(self, help: str, commands: dict[str, LazyGroup | tuple[str, str]], **settings: Any) -> None:
        super().__init__(help=help, no_args_is_help=True, **settings)
        self.lazy = commands
        for name, group in commands.items():
            if isinstance(group, LazyGroup):
                group.name = name

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which they are used, not the alphabet's."""
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        found = self.lazy.get(cmd_name)
        if isinstance(found, tuple):
            module, _, attribute = found[0].partition(":")
            command: click.Command = getattr(importlib.import_module(f"sketchdata.cli.{module}"), attribute)
            # Here every command passes by, so none has to remember to ask for it.
            command.context_class = HelpContext
            return command
        if found is not None:
            found.name = cmd_name
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            lines = {n: c[1] if isinstance(c, tuple) else paragraphs(c.help or "")[0] for n, c in self.lazy.items()}
            formatter.write_dl(list(lines.items()))


_download = LazyGroup(
    "Download official files.\n\nExample: sketchdata download quickdraw --categories star,cat",
    {"quickdraw": ("data:download_quickdraw", "The official Quick, Draw! files, resumable and verified.")},
)
_build = LazyGroup(
    "Build a data set: split, sharded, listed.\n\nExample: sketchdata build quickdraw-3.8m --out data/quickdraw-3.8m",
    {
        "drawings": ("data:build_drawings", "Your own drawings, of any classes, from files of several formats."),
        "sbir": ("cross_domain:build_sbir", "Drawings and photos of the same classes, seen and unseen."),
        "quickdraw-3.8m": ("data:build_quickdraw", "345 classes × 9,000/1,000/1,000/100 drawings."),
        "edgemap-345c": ("data:build_edgemap", "Curated edge maps of 345 classes, split and sharded."),
    },
)
_export = LazyGroup(
    "Export a data set to another format.\n\nExample: sketchdata export webdataset data/quickdraw-3.8m --out tars",
    {
        "webdataset": ("exports:export_webdataset", "Tar shards for webdataset.WebDataset."),
        "ndjson": ("exports:export_ndjson", "The official one-drawing-per-line text."),
        "bitmaps": ("exports:export_bitmaps", "The official 28 × 28 bitmaps, or other sizes."),
        "onnx": ("exports:export_onnx", "A trained network, for programs without torch."),
        "codes": ("exports:export_codes", "Binary codes as the arrays of DeepHash."),
        "lists": ("exports:export_lists", "The lists of files and classes of HashNet."),
        "splits": ("exports:export_splits", "Seen, validation and unseen classes, for zero-shot work."),
    },
)
_audit = LazyGroup(
    "Find noise, wrong labels and duplicates in a data set, and summarise it.\n\n"
    "Example: sketchdata audit entropy data/quickdraw-3.8m",
    {
        "entropy": ("audit:entropy", "Drawings with too little or too much ink for their class."),
        "duplicates": ("audit:duplicates", "Exactly equal drawings, within and across splits."),
        "labels": ("audit:labels", "Drawings that are probably of another class."),
        "near": ("audit:near", "Near duplicates: the same ink, and similar drawings."),
        "summary": ("audit:summary", "Strokes, points, countries, recognized share."),
        "report": ("audit:report", "One HTML file: classes, histograms, examples."),
        "serve": ("audit:serve", "The curation page: keep, drop and relabel drawings."),
        "apply": ("audit:apply", "The curated data set, without noise and dropped drawings."),
    },
)
_edgemaps = LazyGroup(
    "Turn photos into edge maps: collect, crop, extract, curate.\n\n"
    "Example: sketchdata edgemaps collect --yolo photos/coco128 --out photos",
    {
        "collect": ("edgemaps:collect", "Photos from folders, lists and searches of the web."),
        "generate": ("edgemaps:generate", "Generated photos, to try the other commands."),
        "crop": ("edgemaps:crop", "A crop of each annotated object, without duplicates."),
        "extract": ("edgemaps:extract", "Centred edge maps, by any detector."),
        "curate": ("edgemaps:curate", "Score every edge map's messiness within its class."),
        "report": ("edgemaps:report", "One HTML file: classes, scores, photos, licences."),
        "serve": ("edgemaps:serve", "The curation page: keep and drop edge maps."),
        "bench": ("edgemaps:bench", "Compare detectors on the BSDS500 boundary benchmark."),
        "vectors": ("edgemaps:vectors", "A vector of each class, the mean embedding of its edge maps."),
    },
)
_train = LazyGroup(
    "Train a model.\n\nExample: sketchdata train edge-detector --data photos/bsds500 --out runs/edges",
    {
        "edge-detector": ("train:edge_detector", "A small network that finds the edges of photos."),
        "recognition": ("train:recognition", "The dual-branch network that recognises drawings."),
        "hashing": ("train:hashing", "The same network, for binary codes of drawings."),
        "edgemap": ("train:edgemap", "A classifier of edge maps."),
        "zsl": ("train:zsl", "Zero-shot recognition of classes without training drawings."),
        "hashing-baselines": ("train:hashing_baselines", "Other deep hashing methods, for comparison."),
        "sbir": ("train:sbir", "Drawings and photos in one space, to find photos by drawing."),
        "zsih": ("train:zsih", "Binary codes of drawings and photos, to find photos by drawing."),
        "dsf": ("train:dsf", "One classifier of drawings, photos and edge maps, and its layers as features."),
        "sketchcode": ("train:sketchcode", "Our own recipe for binary codes, without a recurrent branch."),
    },
)
_index = LazyGroup(
    "Make codes and vectors searchable.\n\nExample: sketchdata index build codes --out index",
    {"build": ("search:build_index", "An index of codes or vectors: exact, or approximate.")},
)
_bench = LazyGroup(
    "Compare methods on the same data, and with the papers' figures.\n\n"
    "Example: sketchdata bench hashing --data data/quickdraw-3.8m --out bench",
    {
        "dsf": ("bench:dsf", "Recognition after training on drawings, photos and edge maps."),
        "hashing": ("bench:hashing", "Deep and shallow hashing."),
        "edgemap": ("bench:edgemap", "Classifiers of edge maps."),
        "photo-order": ("bench:photo_order", "Order of photos for drawings beside that of people."),
        "sbir": ("bench:sbir", "Retrieval of photos by drawings."),
        "zsih": ("bench:zsih", "Binary codes of drawings and photos."),
        "zsl": ("bench:zsl", "Zero-shot recognition."),
    },
)
_import = LazyGroup(
    "Import files of other tools.\n\nExample: sketchdata import codes deephash --out codes",
    {
        "codes": ("exports:import_codes", "Binary codes from the arrays of DeepHash."),
        "lists": ("exports:import_lists", "The lists of files and classes of HashNet."),
        "splits": ("exports:import_splits", "Seen and unseen classes from the lists of SAKE and ZSE-SBIR."),
        "vectors": ("exports:import_vectors", "Vectors of class names from published word vectors."),
    },
)
root = LazyGroup(
    "Build, audit and share data sets of free-hand sketches, and train networks on them.\n\n"
    "Example: sketchdata build quickdraw-3.8m --out data/quickdraw-3.8m",
    {
        "download": _download,
        "synth": ("data:synth", "Generate drawings in the official formats."),
        "build": _build,
        "verify": ("dataset:verify", "Check a built data set against its manifest."),
        "info": ("dataset:info", "Describe a built data set."),
        "show": ("dataset:show", "Draw a contact sheet of drawings."),
        "audit": _audit,
        "select": ("audit:select", "Choose few drawings per class: diverse, typical, difficult."),
        "export": _export,
        "edgemaps": _edgemaps,
        "train": _train,
        "evaluate": ("recognise:evaluate", "Measure how well a trained network recognises or finds."),
        "recognise": ("recognise:recognise", "Recognise drawings."),
        "explain": ("explain:explain", "Show which strokes decide what a drawing is recognised as."),
        "encode": ("search:encode", "Compute codes or vectors with a trained network."),
        "index": _index,
        "search": ("search:search", "Find the drawings or photos that are nearest to a drawing."),
        "serve": ("search:serve", "Open a page to draw on, which searches an index."),
        "bench": _bench,
        "import": _import,
        "convert": ("data:convert", "Convert drawings between formats."),
    },
    name="sketchdata",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
click.version_option(__version__, prog_name="sketchdata")(root)


def main() -> None:
    """Run the command line: exit 0 on success, 1 on a fault, 2 on wrong usage, 130 on Ctrl-C."""
    if "_SKETCHDATA_COMPLETE" in os.environ:
        root.main(prog_name="sketchdata")  # the shell asks for completions; Click answers and exits
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for names that are not UTF-8
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
        click.echo("\nstopped; finished work is kept, and the same command resumes from there", err=True)
        sys.exit(130)
    except InterruptedRunError as error:
        click.echo(str(error), err=True)
        sys.exit(130)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _reader_left():
            sys.exit(0)
        if (told := _told(error)) is None:
            raise
        click.echo(f"error: {told}", err=True)
        sys.exit(1)


def _told(error: Exception) -> str | None:
    """Return the message of an error that the user can fix; None for a fault of the program."""
    text = str(error)
    # Of a full disk, a missing permission, a path that is a folder, the system's own words are the best.
    if isinstance(error, (SketchDataError, OSError)):
        return text
    if isinstance(error, MemoryError) or "can't allocate memory" in text or type(error).__name__ == "OutOfMemoryError":
        return f"not enough memory: {text.splitlines()[0] if text else 'the sizes are too large'}; choose smaller sizes"
    if text.startswith("Symlink loop"):
        return f"{text}: the links form a loop; give another path"
    if "surrogates not allowed" in text:
        return "a path or a name is not UTF-8, and a file that is written would contain it: rename it"
    return None


def _reader_left() -> bool:
    """Return whether it is standard output that broke (`| head`), which is not a fault, and not another pipe."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)
    if not output.poll(0):
        return False
    # Python would complain again at exit, when it flushes what is left.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True
