"""One script a figure; every number in docs/ names the script that made it."""
