"""Files on disk: atomic writes, locks, journals of JSON lines, hashes, versions of libraries.

Read `atomic` first: everything that is written goes through it.
"""
