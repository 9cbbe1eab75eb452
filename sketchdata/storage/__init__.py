"""Bytes on disk and on the wire: manifests, shards, output folders, downloads."""
