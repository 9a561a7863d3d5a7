"""Did somebody say that there was a rupture? Reports after the session, and observers' ratings of it."""

from __future__ import annotations

import numpy as np

from attachment_outcomes.errors import ConfigError, did_you_mean, problem
from attachment_outcomes.rupture.rules.signal import Signal, check, same
from attachment_outcomes.rupture.series import Numbers, Series


def reported_rupture(
    series: Series,
    *,
    at_least: float = 1.0,
    intensity: str | None = None,
    intensity_at_least: float = 2.0,
    resolution: str | None = None,
    resolved_at: float = 3.0,
) -> Signal:
    r"""Take the sessions that somebody reports as ruptures, repaired once their resolution is rated high enough.

    .. math:: \text{begins: } y_t \ge c \text{ or } i_t \ge c_i, \qquad
        \text{repaired: } r_{t+j} \ge c_r,\ j = 0, \dots, \text{window}

    Parameters
    ----------
    series : Series
        The report as ``values`` (1 yes, 0 no, or a severity), further columns as ``channels``; see
        :func:`attachment_outcomes.rupture.read_series`.
    at_least : float
        c: the report counts from here.
    intensity : str, optional
        Channel with the intensity of the tension; a session counts too if it is ``intensity_at_least``.
    intensity_at_least : float
        c_i.
    resolution : str, optional
        Channel with the extent of resolution, higher = more resolved. Without it no rupture is ever seen to be repaired.
    resolved_at : float
        c_r.

    Returns
    -------
    Signal
        The session of the report may be the one that resolves it, and a first session can be a rupture. What is not resolved
        within the window is over then, and the next report is about another rupture. A session of which only the intensity is
        known is judged by it; one of which only the resolution is known can repair a rupture and begins none. Depth is the
        highest intensity (or severity; of a plain yes, 1), in its own points. There is no centre and no limit.

    Raises
    ------
    ConfigError
        If a channel is named that the series does not have.

    References
    ----------
    Muran, J. C., et al. (2009). Psychotherapy: Theory, Research, Practice, Training, 46(2), 233-248.
    Eubanks, C. F., Lubitz, J., Muran, J. C., & Safran, J. D. (2019). Psychotherapy Research, 29(3), 306-319.
    """
    for key, limit in (("at_least", at_least), ("intensity_at_least", intensity_at_least), ("resolved_at", resolved_at)):
        check(limit > 0, key, limit, "above 0")
    begins = series.values >= at_least
    severity = series.values
    if intensity is not None:
        felt = _channel(series, intensity)
        begins = begins | (felt >= intensity_at_least)
        severity = np.fmax(severity, felt)
    missing = same(np.nan, series)
    returns = np.zeros(len(begins), dtype=bool) if resolution is None else _channel(series, resolution) >= resolved_at
    return Signal(
        begins=begins,
        center=missing,
        limit=missing,
        position=-np.nan_to_num(severity),  # of a resolution alone, nothing
        level=same(0.0, series),
        target=missing,
        assessable=series.total(~np.isnan(severity)) > 0,
        returns=returns,
        same_session=True,
        lasts=False,
    )


def _channel(series: Series, name: str) -> Numbers:
    if name not in series.channels:
        what = f"the criterion reads no column {name!r}; allowed: {', '.join(series.channels)}."
        raise ConfigError(problem("reported_rupture", what + did_you_mean(name, series.channels)))
    return series.channels[name]
