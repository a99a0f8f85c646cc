"""Files and arrays to tensors and back: reading, writing, depth, colour, range."""
