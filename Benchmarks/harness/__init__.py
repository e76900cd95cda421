"""What runs the benchmarks: servers, processes, figures, tables."""
