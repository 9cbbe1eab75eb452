"""Networks, packed data, loaders, the training loop, checkpoints, run folders and encoders."""
