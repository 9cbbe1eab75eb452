"""`sketchdata export onnx`."""

from __future__ import annotations

from pathlib import Path

import click
import orjson

from sketchdata.errors import ConfigError

#: As in sketchdata/onnx_export.py, which is not imported before it is needed.
_LEAST_OPSET, _MOST_OPSET = 18, 23


@click.command()
@click.argument("run", type=click.Path(file_okay=False, path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, help="The file, such as model.onnx.")
@click.option(
    "--opset",
    type=click.IntRange(_LEAST_OPSET, _MOST_OPSET),
    default=_LEAST_OPSET,
    show_default=True,
    help="Version of ONNX's operators.",
)
@click.option("--json", "as_json", is_flag=True, help="Print inputs, outputs and metadata as JSON on standard output.")
def onnx(run: Path, out: Path, opset: int, as_json: bool) -> None:
    """Export the network of the training in RUN as one ONNX file, for programs without torch.

    Its inputs are pictures, sequences of points or both; its outputs are the numbers of the code layer, the bits and
    the scores of the classes. The class table, and what is needed to make the inputs, are in the file's metadata. The
    file is written once onnxruntime was seen to compute with it what torch does.

    Example: sketchdata export onnx runs/hashing-64 --out model.onnx
    """
    try:
        from sketchdata.onnx_export import export_run
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the ONNX export needs {error.name}, which is not installed: pip install 'sketchdata[onnx]'"
        ) from error

    found = export_run(run, out, opset=opset)
    if as_json:
        click.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
        return
    click.echo(f"{out}: {found['bytes'] / 1e6:,.1f} MB, opset {opset}")
    for title in ("inputs", "outputs"):
        values = ", ".join(f"{name} ({', '.join(map(str, shape))})" for name, shape in found[title].items())
        click.echo(f"{title}: {values}")
