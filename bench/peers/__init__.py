"""The peers that benchmarks run beside Holdfast, each set up as its own documentation says."""
