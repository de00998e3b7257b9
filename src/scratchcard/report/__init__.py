"""What a reader sees of a study: sentences, figures and the page."""
