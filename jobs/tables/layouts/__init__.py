"""How the public sets of radiographs lay out their tables: one module per set."""
