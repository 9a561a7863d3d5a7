"""What transmission would be seen if nobody were misclassified?"""

from attachment_outcomes.registry import entry_points

__getattr__, __dir__ = entry_points(__name__, {"Reliability": "reliability", "corrected_transmission": "correction"})
