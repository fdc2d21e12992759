"""One request: from a dataset and what is to be forgotten to a result and its certificate."""
