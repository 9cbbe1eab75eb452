"""Class names, their spellings, splits and vectors."""
