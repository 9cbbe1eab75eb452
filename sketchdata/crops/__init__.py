"""Crops in the making: from the annotations of collected photos to pictures of classes without duplicates."""
