"""Finds pipelines/, trainers/ and manifests/ in a checkout, in an editable install and in a wheel.

A wheel carries the three folders inside this package. A checkout has them at its root, so the root is appended to this
package's path; `sketchdata.recipes.pipelines.quickdraw` is then the one name of a recipe everywhere. Recipes hold no
registries and no classes checked by isinstance, since a module of a checkout can be imported under two names.
"""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent
_ROOT = _HERE if (_HERE / "pipelines").is_dir() else _HERE.parents[1]
if _ROOT != _HERE:
    __path__.append(str(_ROOT))


def manifest_path(name: str) -> Path:
    """Return the path of a file of manifests/, such as `quickdraw-files.csv`."""
    return _ROOT / "manifests" / name
