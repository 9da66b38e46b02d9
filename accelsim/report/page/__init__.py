"""The report of one or several runs as a page: one HTML file that needs nothing else.

`recorded` is a run's JSON as it is read, `markup` HTML in which all text is escaped, `charts` what
is drawn, `sections` what the page says, `whole` the page.
"""
