"""Many runs: comparisons, shadow models, audits, and frauds that an audit must convict."""
