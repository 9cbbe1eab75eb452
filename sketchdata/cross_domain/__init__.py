"""Drawings and photos in one space: the data set of two domains, encoders, losses, evaluation."""
