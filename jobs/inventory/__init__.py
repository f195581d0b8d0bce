"""From a tree of files to a manifest: which of them are frontal radiographs, and why the others are not."""
