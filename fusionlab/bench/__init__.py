"""How fast a fusion is, and what it needs."""
