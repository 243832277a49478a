"""What makes a pair suspicious, one file each. `methods` read them; they know no run."""
