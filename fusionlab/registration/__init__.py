"""Registration: find how one image lies on another, and resample it onto the other's grid.

Read `contract` (what the estimator of a plugin is given and returns), then `transform` and `warp`.
"""
