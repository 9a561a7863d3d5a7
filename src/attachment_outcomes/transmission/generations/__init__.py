"""What is passed on over three generations?"""
