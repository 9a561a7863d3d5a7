"""Made-up parents and children whose transmission is known: one module a question, with estimators for recovery studies."""
