"""Made-up parents and children whose transmission is known: one module a question, with the estimators as recovery studies call them."""
