"""Training a backbone as an autoencoder: data, losses, loop, checkpoints."""
