#!/bin/sh
# The whole chain on generated drawings: `make demo` runs it. The drawings are not from Quick, Draw!.
set -eu
demo=${1:-demo}
rm -rf "$demo"

run() {
    printf '\n$ %s\n' "$*"
    "$@"
}

run sketchdata synth --out "$demo/source" --drawings 1200
run sketchdata build quickdraw-3.8m --source "$demo/source" --out "$demo/dataset" \
    --train 900 --val 100 --gallery 100 --query 10
run sketchdata verify "$demo/dataset"
run sketchdata info "$demo/dataset"
run sketchdata show "$demo/dataset" --split gallery -n 96 -o "$demo/mixed.png"
run sketchdata show "$demo/dataset" --category star -n 48 -o "$demo/stars.png"
run sketchdata export webdataset "$demo/dataset" --splits query --png 224 --out "$demo/webdataset"
run sketchdata export ndjson "$demo/dataset" --splits query --out "$demo/ndjson"
run sketchdata audit duplicates "$demo/dataset"
run sketchdata audit entropy "$demo/dataset"
run sketchdata audit report "$demo/dataset"

cat <<END

What was made, in $demo (generated drawings, not from Quick, Draw!):
  source       345 files in the official ndjson format
  dataset      the data set: Parquet shards, key_id lists, manifest, card
  mixed.png    96 drawings of all classes      stars.png    48 of one class
  webdataset   the query split as tar shards with pictures
  ndjson       the query split as official text
  dataset/audit/report.html    open it in a browser: classes, histograms, examples
To judge drawings yourself: .venv/bin/sketchdata audit serve $demo/dataset
For the real thing: sketchdata build quickdraw-3.8m
END
