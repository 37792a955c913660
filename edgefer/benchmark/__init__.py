"""Measuring a bundle on this machine: latency, throughput, memory, power, layers, and under what conditions."""
