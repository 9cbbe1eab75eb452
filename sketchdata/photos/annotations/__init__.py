"""Annotations of photos: readers of classes and boxes in the formats of photo data sets."""
