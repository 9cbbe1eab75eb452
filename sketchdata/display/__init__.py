"""Figures: charts and contact sheets."""
