"""Makes hybrid DVDs from progressive material and keeps the truth: the ground of tests, benchmarks and training."""
