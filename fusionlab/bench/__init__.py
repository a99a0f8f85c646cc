"""How fast a fusion is, and what it needs.

`cases.py` says what is measured, `measuring.py` measures it by means of `timing`, `memory`, `macs`
and `throughput`, and `report.py` prints the results, with the `machine` they were measured on.
"""
