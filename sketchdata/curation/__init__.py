"""Audits of data sets: scores, decisions, and the curated data set they make."""
