"""Evaluation: methods x image sets x metrics -> tables that can be published.

Read `evaluate` (the Python function), `methods`, `rows` and `metric` (rows and columns), `scoring`
(the work on one sample), `scores` and `comparisons` (the numbers), `reporting` (tables and files).
"""
