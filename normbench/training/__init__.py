"""One run: a network, its batches and its optimizer, as a generator of events."""
