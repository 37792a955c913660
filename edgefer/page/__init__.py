"""What every page of edgefer shares: its style, how it writes numbers, and drawings that follow its colours."""
