"""Reading other projects' weight files into the arrays of Nightread's own DenseNet-121."""
