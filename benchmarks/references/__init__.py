"""What users write instead of normbench: the yardsticks of the benchmarks."""
