"""Evaluation: methods x image sets x metrics -> tables that can be published.

Read `evaluate` (the Python function), `methods`, `rows` and `metric` (rows and columns), `scoring`
(the work on one sample), `run`, `jobs` and `executors` (who does it, and what is kept), `scores`
and `comparisons` (the numbers), `reporting` (tables and files).
"""
