"""The audit's report and the curation page: items with an id, a score and a picture, shown in a browser."""
