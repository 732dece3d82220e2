"""The Benchmark tab."""
