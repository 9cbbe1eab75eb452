"""Photos of the web, fetched politely by Scrapy: from a list of URLs to files on disk and one outcome a URL."""

from sketchdata.photos.crawl.options import CrawlOptions
from sketchdata.photos.crawl.outcomes import Outcome, read_outcomes
from sketchdata.photos.crawl.process import crawl

__all__ = ["CrawlOptions", "Outcome", "crawl", "read_outcomes"]
