# Reference values for the rupture room, from base R.
# Writes rupture_xmr.json (control limits and drops, session by session) and rupture_outcome.json (three-group contrasts).
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

# Outcome: post on pre, group and number of sessions; lower is better. Contrasts with HC3 and with CR1 by therapist.
n <- 120
group <- sample(c("none", "repaired", "unrepaired"), n, replace = TRUE, prob = c(.45, .3, .25))
therapist <- sample(sprintf("t%02d", 1:15), n, replace = TRUE)
n_sessions <- sample(6:24, n, replace = TRUE)
pre <- round(rnorm(n, 20, 5), 1)
effect <- c(none = 0, repaired = -1.5, unrepaired = 2.5)[group]
post <- round(4 + .5 * pre - .1 * n_sessions + effect + rnorm(15)[as.integer(factor(therapist))] + rnorm(n, 0, 2 + .1 * n_sessions), 1)
repaired <- as.numeric(group == "repaired")
unrepaired <- as.numeric(group == "unrepaired")
fit <- lm(post ~ pre + n_sessions + repaired + unrepaired)
X <- model.matrix(fit); e <- resid(fit); k <- ncol(X)
bread <- solve(crossprod(X))
hc3 <- bread %*% crossprod(X * (e / (1 - hatvalues(fit)))) %*% bread
scores <- rowsum(X * e, therapist)
G <- nrow(scores)
cr1 <- G / (G - 1) * (n - 1) / (n - k) * bread %*% crossprod(scores) %*% bread
p <- sum(repaired) / sum(repaired + unrepaired)
none_any <- c(0, 0, 0, -p, -(1 - p))
weights <- list(
  repaired_minus_none = c(0, 0, 0, 1, 0), unrepaired_minus_none = c(0, 0, 0, 0, 1),
  repaired_minus_unrepaired = c(0, 0, 0, 1, -1), none_minus_any = none_any,
  repair_minus_avoidance = -(c(0, 0, 0, 1, -1) - none_any)
)
contrast <- function(w, V, df) {
  b <- sum(w * coef(fit)); se <- sqrt(drop(t(w) %*% V %*% w))
  list(estimate = b, std_error = se, ci_low = b - qt(.975, df) * se, ci_high = b + qt(.975, df) * se,
       p_value = 2 * pt(-abs(b / se), df))
}
calls <- "lm(post ~ pre + n_sessions + repaired + unrepaired); HC3 and CR1 written out; t on n - k and G - 1 df"
write_reference("rupture_outcome", calls, list(
  data = data.frame(client = sprintf("c%03d", 1:n), therapist_id = therapist, group, pre, post, n_sessions),
  hc3 = lapply(weights, contrast, V = hc3, df = n - k),
  cr1 = lapply(weights, contrast, V = cr1, df = G - 1)
))
