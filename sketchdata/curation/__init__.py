"""Audits of data sets: scores, curators' decisions, and curated data sets."""
