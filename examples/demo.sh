#!/bin/sh
# `make demo` runs this: the whole chain on generated drawings, and from photographs to edge maps. The drawings are not from
# Quick, Draw!; the photographs are those that scikit-image ships, served by a local web server.
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

kinds=apple,cat,clock,envelope,fish,house,star,sun,tree,umbrella
run sketchdata build quickdraw-3.8m --source "$demo/source" --out "$demo/ten" --categories $kinds \
    --train 200 --val 40 --gallery 40 --query 10
# PyTorch's threads wait for one another: if other jobs use the cores, several take many times as long as one.
export OMP_NUM_THREADS=1
run sketchdata train recognition --data "$demo/ten" --out "$demo/run" --backbone small --size 32 --hidden 32 \
    --width 64 --batch-size 64 --learning-rate 5e-3 --cnn-learning-rate 5e-3 --max-points 64 \
    --cnn-epochs 3 --rnn-epochs 3 --fusion-epochs 2 --center-epochs 1
run sketchdata evaluate "$demo/run"
run sketchdata train sketchcode --data "$demo/ten" --out "$demo/codes-run" --bits 32 --size 32 --augment \
    --batch-size 64 --learning-rate 2e-3 --proxy-epochs 2 --code-epochs 3
run sketchdata encode "$demo/codes-run" "$demo/ten" --out "$demo/codes"
run sketchdata evaluate "$demo/codes"
run sketchdata index build "$demo/codes" --out "$demo/index"

python examples/demo_photos.py "$demo/photos.csv" &
server=$!
trap 'kill $server' EXIT
until [ -s "$demo/photos.csv" ]; do
    kill -0 $server
    sleep 0.1
done
run sketchdata edgemaps collect --urls "$demo/photos.csv" --allow-private --out "$demo/photos"
run sketchdata edgemaps crop "$demo/photos" --out "$demo/crops"
run sketchdata edgemaps extract "$demo/crops" --out "$demo/edges"
run sketchdata edgemaps curate "$demo/edges" --drawings "$demo/dataset"
run sketchdata edgemaps report "$demo/edges"
run sketchdata build edgemap-345c --edges "$demo/edges" --val-share 1/4 --out "$demo/edgemap"
run sketchdata verify "$demo/edgemap"
run sketchdata show "$demo/edges" -n 8 -o "$demo/edges.png"

# Unseen classes: edge maps of photographs describe them. Most classes have none among the photographs above, so these
# photographs are generated too.
things=apple,bear,bicycle,book,butterfly,cactus,candle,cat,chair,clock,cup,donut,envelope,eyeglasses,fish,flower,fork,house
things=$things,key,ladder,leaf,mushroom,pants,pear,pizza,sailboat,snail,spider,star,umbrella
run sketchdata build quickdraw-3.8m --source "$demo/source" --out "$demo/thirty" --categories $things \
    --train 100 --val 15 --gallery 20 --query 4
run sketchdata edgemaps generate --out "$demo/generated" --photos 24 --size 128 --categories $things
run sketchdata edgemaps collect --folders "$demo/generated" --out "$demo/generated-photos"
run sketchdata edgemaps crop "$demo/generated-photos" --out "$demo/generated-crops"
run sketchdata edgemaps extract "$demo/generated-crops" --out "$demo/generated-edges" --size 64
run sketchdata build edgemap-345c --edges "$demo/generated-edges" --val-share 1/6 --no-curation \
    --out "$demo/generated-edgemap"
run sketchdata train edgemap --data "$demo/generated-edgemap" --out "$demo/edgemap-run" --backbone small --size 48 \
    --batch-size 32 --learning-rate 5e-3 --epochs 14
run sketchdata edgemaps vectors "$demo/edgemap-run" "$demo/generated-edgemap" --allow-missing --out "$demo/edges.parquet"
run sketchdata train zsl --data "$demo/thirty" --vectors "$demo/edges.parquet" --seen 24 --out "$demo/zsl" --recipe \
    --branch cnn --backbone thin --channels strokes --size 32 --width 256 --batch-size 64 --augment \
    --learning-rate 2e-3 --cnn-learning-rate 2e-3 --cnn-epochs 5 --fusion-epochs 2
run sketchdata evaluate "$demo/zsl"
run sketchdata export ndjson "$demo/thirty" --splits gallery --out "$demo/drawings"
# The first drawing of each unseen class, right or wrong.
given=$demo/drawings/gallery
run sketchdata recognise "$demo/zsl" --top 5 --picture "$demo/recognised.png" "$given/apple.ndjson#1" \
    "$given/cat.ndjson#1" "$given/clock.ndjson#1" "$given/cup.ndjson#1" "$given/key.ndjson#1" "$given/star.ndjson#1"

# Photos found by a drawing: a space of the same drawings and photographs, its vectors, and an index of all photos.
run sketchdata build sbir --drawings "$given" --photos "$demo/generated" --seen 24 --out "$demo/sbir"
run sketchdata train sbir --data "$demo/sbir" --out "$demo/space" --method sketchspace --weights imagenet --trunk frozen \
    --size 96 --epochs 2 --learning-rate 3e-4 --edge-detector canny
run sketchdata encode "$demo/space" "$demo/sbir" --splits seen-photos,validation-photos,unseen-photos --out "$demo/vectors"
run sketchdata index build "$demo/vectors" --out "$demo/photo-index"
run sketchdata search "$demo/photo-index" --run "$demo/space" "$given/star.ndjson#1" --data "$demo/sbir" \
    --html "$demo/found-photos.html"

cat <<END

What was made, in $demo (generated drawings, not from Quick, Draw!):
  source       345 files in the official ndjson format
  dataset      the data set: Parquet shards, key_id lists, manifest, card
  mixed.png    96 drawings of all classes      stars.png    48 of one class
  webdataset   the query split as tar shards with pictures
  ndjson       the query split as official text
  dataset/audit/report.html    open it in a browser: classes, histograms, examples
  photos, crops, edges, edgemap   six photographs on their way to a data set of edge maps, with
  edges/audit/report.html         each edge map beside its photo     edges.png    all of them
  run          a small network that learned the ten classes of ten/; evaluation.md has its accuracy
  codes-run, codes, index   binary codes of the same ten classes; search them with
    .venv/bin/sketchdata search $demo/index --run $demo/codes-run YOUR.svg --data $demo/ten --html found.html
  zsl          a network that recognises unseen classes; evaluation.md has its accuracy
  recognised.png   its predictions for a drawing of each of six unseen classes, right or wrong
  space, vectors, photo-index   drawings and photos in one space     found-photos.html   photos found by a drawing
    To draw and search: .venv/bin/sketchdata serve $demo/photo-index --run $demo/space
To curate drawings yourself: .venv/bin/sketchdata audit serve $demo/dataset
For the real thing: sketchdata build quickdraw-3.8m
END
