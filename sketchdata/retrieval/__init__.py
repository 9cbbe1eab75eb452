"""Retrieval: binary codes, exact distances, measures with ties, indexes, queries and evaluation."""
