"""What transmission would be seen if nobody were misclassified?"""
