"""The whole of QuickDraw-3.8M from generated files: wall time, memory of all processes together, bytes written.

    python benchmarks/scale.py [--folder DIR] [--workers 2]

Two sizes of input, 11,100 to 12,000 and three times as many lines a category: the memory must not grow with the lines.
Needs 10 GB of disk.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from measure import machine, run_command, table, tree_bytes


def main() -> None:
    """Generate, build and verify at two sizes, print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where to put 10 GB; default: a temporary folder")
    parser.add_argument("--workers", default="2")
    parser.add_argument("--sizes", type=int, nargs="+", default=[11_100, 33_300], help="least lines a category")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        rows = [_build(folder, size, arguments.workers) for size in arguments.sizes]
    finally:
        shutil.rmtree(folder)
    head = [
        "lines",
        "input GB",
        "build s",
        "of it on all cores",
        "peak MiB",
        "output MB",
        "verify s",
        "verify peak MiB",
    ]
    print(f"{machine()}, {arguments.workers} workers\n\n{table(head, rows)}")


def _build(folder: Path, lines: int, workers: str) -> list[str]:
    source, out = folder / "source", folder / "out"
    spread = str(900 / 11_100)
    run_command(["synth", "--out", str(source), "--drawings", str(lines), "--spread", spread, "--workers", workers])
    build = run_command(["build", "quickdraw-3.8m", "--source", str(source), "--out", str(out), "--workers", workers])
    verify = run_command(["verify", str(out)])
    row = [
        f"345 × {lines:,} to {lines + int(lines * float(spread)):,}",
        f"{tree_bytes(source) / 1e9:.2f}",
        f"{build.wall:.1f}",
        f"{build.cpu:.1f}",
        f"{build.peak_bytes / 2**20:,.0f}",
        f"{tree_bytes(out) / 1e6:,.1f}",
        f"{verify.wall:.1f}",
        f"{verify.peak_bytes / 2**20:,.0f}",
    ]
    shutil.rmtree(source)
    shutil.rmtree(out)
    return row


if __name__ == "__main__":
    main()
