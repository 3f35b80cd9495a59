"""An experiment read back: its tables, what its charts are drawn from, its JSON."""
