"""What is seen while runs train: the live display, a notebook's bar, the time left."""
