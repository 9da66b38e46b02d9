"""Published references, and how far accelsim is from each of their numbers."""
