"""Made-up ruptures and repairs whose truth is known: one module a question, with the estimators as recovery studies call them."""
