"""The nouns of Assay: component, workflow, study, claim, store, run, report."""
