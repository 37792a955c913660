"""The bundle: one file that holds all a device needs."""
