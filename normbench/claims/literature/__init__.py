"""Claims of the literature, one a file: statement, source, rule and the configs it rests on."""
