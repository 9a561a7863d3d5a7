"""Are transmissions interrupted, and more often with treatment?"""
