"""What a night depends on, asked before it begins: one module per thing, one line per answer."""
