"""Drawings: records and batches, rasters, simplification, and the split by keyed hash."""
