"""Results for people (sheets of text) and for programs (JSON and CSV)."""
