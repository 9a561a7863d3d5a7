# Reference values for the rupture room, from base R.
# Writes rupture_xmr.json (control limits and drops, session by session).
source("validation/reference.R")

# Individuals chart: centre, mean moving range over sessions with adjacent numbers, lower limit.
xmr <- function(session, score, detrend = FALSE, baseline = NULL) {
  use <- if (is.null(baseline)) seq_along(score) else seq_len(baseline)
  center <- if (detrend) unname(fitted(lm(score ~ session))) else rep(mean(score[use]), length(score))
  residual <- score - center
  step <- diff(session[use])
  ranges <- abs(diff(residual[use]))[step == 1]
  list(session = session, score = score, detrend = detrend, baseline = baseline, center = center,
       mean_range = mean(ranges), n_ranges = length(ranges), limit = center - 2.66 * mean(ranges))
}
# Drop rule: a fall of at least k own SDs from the session before, where the session numbers are adjacent.
drops <- function(session, score, k) {
  fall <- -diff(score)
  list(session = session, score = score, k = k, sd = sd(score),
       begins = session[-1][diff(session) == 1 & fall >= k * sd(score)])
}

set.seed(20261121)
full <- 1:12
gaps <- c(1, 2, 4, 5, 6, 9, 10, 11, 12, 15)
s1 <- round(5 + rnorm(12, 0, .5), 2)
s2 <- round(4.5 + .1 * gaps + rnorm(10, 0, .6), 2)
s3 <- c(5.1, 5.3, 5.0, 5.2, 5.1, 5.2, 2.4, 5.0, 5.3, 5.1, 5.2, 5.0)
calls <- "center = mean(x) or fitted(lm(x ~ session)); limit = center - 2.66 * mean(abs(diff(x))); sd(x); diff(x)"
write_reference("rupture_xmr", calls, list(
  xmr = list(
    xmr(full, s1), xmr(full, s1, detrend = TRUE), xmr(full, s1, baseline = 5),
    xmr(gaps, s2), xmr(gaps, s2, detrend = TRUE), xmr(gaps, s2, baseline = 4),
    xmr(full, s3), xmr(full, s3, detrend = TRUE), xmr(full, s3, baseline = 6)
  ),
  drops = list(drops(full, s1, 1), drops(gaps, s2, 1), drops(full, s3, 1), drops(full, s3, 2), drops(full, s1, 1.5))
))
