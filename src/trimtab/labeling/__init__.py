"""Human labels: a page on which raters compare the responses of pairs, and files of the labels."""
