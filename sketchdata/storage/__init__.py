"""Storage: manifests, Parquet and tar shards, records, cards, downloads."""
