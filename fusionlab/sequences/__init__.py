"""Sequences: frames of videos, folders and stacks, matched in time, fused and written as one.

Read first: `contract.py`, then `run.py`. `watch.py` fuses files as they arrive, and `arrivals.py`
finds them.
"""
