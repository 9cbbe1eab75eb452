"""The public names of the package, which `sketchdata` passes on."""
