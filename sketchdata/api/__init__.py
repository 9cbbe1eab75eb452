"""The public API of the package, re-exported by `sketchdata`."""
