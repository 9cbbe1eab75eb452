"""Pages for a browser: the audit's report, the curation page, search results and the draw-to-search page."""
