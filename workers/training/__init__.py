"""Training DenseNet-121 on a manifest: data, loss, loop and the model folder that comes out."""
