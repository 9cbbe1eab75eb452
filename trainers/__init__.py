"""One experiment a file, read top to bottom: Config, losses, loop, evaluate."""
