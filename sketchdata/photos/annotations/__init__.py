"""Which photo shows what, and where: readers of boxes in the formats that data sets of photos come in."""
