"""`python -m sketchdata` is the `sketchdata` command."""

from sketchdata.cli import main

if __name__ == "__main__":
    main()
