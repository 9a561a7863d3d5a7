"""How fast do mixed models fit, beside other packages? What is measured, on which data, and how it is judged."""
