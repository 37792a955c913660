"""Measuring a bundle on this machine: latency, throughput, memory, power, layers, and the conditions they hold under."""
