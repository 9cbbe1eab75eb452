"""The tool's version, written into every manifest and into the metadata of every Parquet file."""

__version__ = "0.1.0"

#: Version of the layout on disk: columns, row order, manifest. A data set of another one is refused, not guessed at.
SCHEMA_VERSION = 1
