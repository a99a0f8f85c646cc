"""Files and arrays to tensors and back: reading, writing, depth, color, range."""
