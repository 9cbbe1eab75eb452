"""Photos: decoding, annotations, search, crawl, collections, crops."""
