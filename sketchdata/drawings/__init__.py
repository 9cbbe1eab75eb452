"""Drawings: one and many, their rasters, strokes from pictures, and the keyed-hash split."""
