"""What every export shares: its parent data set, its folder, its card."""
