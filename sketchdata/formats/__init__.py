"""Readers and writers of drawing file formats."""
