"""The datasets, one family a file. A file placed here is found through the registry."""
