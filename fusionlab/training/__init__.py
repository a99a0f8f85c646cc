"""Training backbones as autoencoders, and the networks of learned strategies.

Start with `train.py`, the two functions to call; then `trainer.py`, the loop that both share,
and its two subclasses `autoencoder.py` and `learned_strategy.py`. `data/` finds, decodes and
crops the images.
"""
