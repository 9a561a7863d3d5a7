"""Does transmission run through what parents do with their children, and how much does that leave unexplained?"""
