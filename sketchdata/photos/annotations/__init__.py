"""Which photo shows what, and where: readers of boxes in the formats that data sets of photos come in.

Every reader yields an `Annotation` for each box it could read and a `Fault` for each it could not; a file that is
broken as a whole raises FormatError. `separate` parts the two, `with_classes` gives the categories other names.
"""
