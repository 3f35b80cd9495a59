"""What is measured without being trained for: signals, loss landscape, layer cost."""
