"""Studies: a grid of methods, settings and image sets in a file, run to tables and a page.

Read `results` (what a study has found), which the tables and the page are made from.
"""
