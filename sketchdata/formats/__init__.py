"""The official file formats, read and written."""
