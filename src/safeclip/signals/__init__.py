"""What makes a pair suspicious, one file each. `split` and `audit` read them; they know no run."""
