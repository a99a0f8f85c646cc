"""Sequences: frames of videos, folders and stacks, matched in time, fused and written as one.

Read first: `contract.py`.
"""
