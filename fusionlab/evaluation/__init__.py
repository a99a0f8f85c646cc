"""Evaluation: methods x image sets x metrics -> tables that can be published."""
