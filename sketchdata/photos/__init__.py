"""Photos and what they show: decoding, annotations, search, crawl, collections, crops."""
