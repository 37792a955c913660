"""What each operation must compute, as cases that any machine can be asked: the host's imitation, or a GPU."""
