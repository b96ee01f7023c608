"""Reading logs: lines become entries, entries become templates with their counts, times, categories and causes."""
