"""The site's own lists: words, domains, addresses and what recipients asked for, in files that are followed."""
