"""Drawings and photos in one space: data sets of two domains, encoders, losses, evaluation."""
