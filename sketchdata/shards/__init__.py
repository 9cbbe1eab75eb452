"""Shards on disk: Parquet is the canonical store, WebDataset tars are an export."""
