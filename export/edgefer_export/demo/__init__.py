"""The demonstration that `make demo` runs: train, build, judge, compile, answer."""
