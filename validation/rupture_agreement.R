# Agreement of criteria and raters, and the shapes of series, on made-up data: psych's kappa, sandwich's clustered errors, lm.
source("validation/reference.R")
library(sandwich)

set.seed(20260507)
people <- 25; lengths <- sample(6:14, people, replace = TRUE)
id <- rep(seq_len(people), lengths)
level <- rnorm(people, 0, 0.8)[id]
votes <- sapply(1:4, function(j) as.integer(level + rnorm(length(id), 0, 1) + (j == 4) * 0.5 > 0.9))

# Kappa of weighted sessions. Its slope by each person's weight, by numbers, is what the person adds to the clustered error.
kappa_of <- function(a, b, w) {
  p <- tapply(rep(w, 1), list(factor(a, 0:1), factor(b, 0:1)), sum, default = 0) / sum(w)
  chance <- sum(rowSums(p) * colSums(p))
  (sum(diag(p)) - chance) / (1 - chance)
}
fleiss_of <- function(x, w) {
  m <- ncol(x); yes <- rowSums(x)
  observed <- weighted.mean((yes^2 + (m - yes)^2 - m) / (m * (m - 1)), w)
  p <- weighted.mean(yes / m, w); chance <- p^2 + (1 - p)^2
  (observed - chance) / (1 - chance)
}
clustered <- function(f) {
  step <- 1e-5
  slope <- sapply(seq_len(people), function(g) {
    w <- rep(1, length(id)); w[id == g] <- 1 + step; up <- f(w); w[id == g] <- 1 - step
    (up - f(w)) / (2 * step)
  })
  sqrt(people / (people - 1) * sum(slope^2))
}
with_interval <- function(f) {
  k <- f(rep(1, length(id))); se <- clustered(f)
  list(kappa = k, std_error = se, ci_low = k - qt(.975, people - 1) * se, ci_high = k + qt(.975, people - 1) * se)
}
pairs <- lapply(combn(4, 2, simplify = FALSE), function(ij) {
  a <- votes[, ij[1]]; b <- votes[, ij[2]]; n <- length(a)
  alone <- psych::cohen.kappa(cbind(a, b))
  c(list(first = ij[1] - 1, second = ij[2] - 1), with_interval(function(w) kappa_of(a, b, w)), list(
    psych_kappa = alone$kappa, psych_se = sqrt(alone$var.kappa), agreement = mean(a == b), pabak = 2 * mean(a == b) - 1,
    prevalence_index = (sum(a & b) - sum(!a & !b)) / n, bias_index = (sum(a & !b) - sum(!a & b)) / n
  ))
})

# Two ratings of the same sessions: level difference and congruence.
alliance <- 4 + level / 2 + rnorm(length(id), 0, 0.5)
therapist <- 0.4 + 0.9 * level / 2 + 0.5 * alliance + rnorm(length(id), 0, 0.4) + 1.5
both <- lm(alliance - therapist ~ 1)
a <- resid(lm(alliance ~ factor(id))); b <- resid(lm(therapist ~ factor(id)))
congruence_of <- function(w) sum(w * a * b) / sqrt(sum(w * a^2) * sum(w * b^2)) # a, b have mean 0 within each person
r <- congruence_of(rep(1, length(id))); r_se <- clustered(congruence_of)
half <- qt(.975, people - 1) * r_se / (1 - r^2)

# Shapes: a line and a parabola for each series, with gaps in the session numbers.
session <- unlist(lapply(lengths, function(n) cumsum(sample(1:2, n, replace = TRUE))))
score <- round(alliance + 0.02 * rnorm(people)[id] * session + 0.01 * rnorm(people)[id] * (session - 8)^2, 2)
shapes <- t(sapply(seq_len(people), function(g) {
  s <- session[id == g]; x <- score[id == g]
  line <- summary(lm(x ~ s))$coefficients; curve <- lm(x ~ s + I(s^2)); of <- summary(curve)$coefficients
  turn <- -coef(curve)[[2]] / (2 * coef(curve)[[3]])
  c(line[2, 1], line[2, 4], of[3, 1], of[3, 4], turn > min(s) && turn < max(s))
}))

write_reference("rupture_agreement", "psych::cohen.kappa; numeric slopes of weighted kappa; sandwich::vcovCL; lm; cor of residuals", list(
  id = id, votes = votes, pairs = pairs, fleiss = with_interval(function(w) fleiss_of(votes, w)),
  alliance = alliance, therapist = therapist,
  level = list(estimate = coef(both)[[1]], std_error = sqrt(vcovCL(both, id, type = "HC0", cadjust = TRUE)[1, 1])),
  congruence = list(estimate = r, std_error = r_se, ci_low = tanh(atanh(r) - half), ci_high = tanh(atanh(r) + half)),
  session = session, score = score,
  shapes = list(slope = shapes[, 1], slope_p = shapes[, 2], curvature = shapes[, 3], curvature_p = shapes[, 4], inside = shapes[, 5])
))
