"""Made-up change whose truth is known: one module a question, with the estimators as recovery studies call them."""
