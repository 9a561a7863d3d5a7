# Reference values for rules compared: agreement of rules, minimal important differences, thresholds and cutoffs of a sample.
source("validation/reference.R")
suppressPackageStartupMessages({
  library(pROC)
  library(vcd)
})
RNGversion("4.2.0")
set.seed(20240711)

# ---- Minimal important differences: whole changes with ties, an anchor of five grades (4 and 5: improved, 4: a little).
n <- 160
latent <- rnorm(n, 4, 6)
change <- round(latent + rnorm(n, 0, 2))
anchor <- findInterval(latent + rnorm(n, 0, 4), c(-4, 1, 6, 11)) + 1
improved <- as.integer(anchor >= 4)
curve <- roc(improved, change, direction = "<", quiet = TRUE)
area <- ci.auc(curve, method = "delong")
best <- coords(curve, "best", best.method = "youden", ret = c("threshold", "sensitivity", "specificity"))
corner <- coords(curve, "best", best.method = "closest.topleft", ret = c("threshold", "sensitivity", "specificity"))
stopifnot(nrow(best) == 1, nrow(corner) == 1)
fit <- glm(improved ~ change, family = binomial, control = glm.control(epsilon = 1e-14, maxit = 100))
odds <- qlogis(mean(improved))
predictive <- unname((odds - coef(fit)[1]) / coef(fit)[2])
adjusted <- predictive - (0.090 + 0.103 * cor(change, improved)) * sd(change) * odds
# The anchor's reliability as a rating of change: .7.
reliable <- predictive - (0.8 / 0.7 - 0.5) * cor(change, improved) * sd(change) * odds
little <- t.test(change[anchor == 4])
mid <- list(
  call = "pROC: roc, coords, ci.auc(method = 'delong'); glm; t.test; cor(method = 'spearman'); formulas of Terluin et al. written out",
  change = change, anchor = anchor, improved = improved,
  youden = best$threshold, sensitivity = best$sensitivity, specificity = best$specificity, corner = corner$threshold,
  auc = area[2], auc_low = area[1], auc_high = area[3], auc_error = sqrt(var(curve, method = "delong")),
  correlation = cor(change, anchor, method = "spearman"), predictive = predictive, adjusted = adjusted,
  reliable = reliable,
  mean_change = unname(little$estimate), mean_low = little$conf.int[1], mean_high = little$conf.int[2],
  mean_error = unname(little$stderr)
)

# ---- Agreement of rules: categories by three rules, 1 improved, 2 unchanged, 3 deteriorated.
score <- rnorm(150)
code <- sapply(c(0.4, 0.7, 1.1), function(limit) {
  x <- score + rnorm(150, 0, 0.35)
  ifelse(x > limit, 1, ifelse(x < -limit, 3, 2))
})
pairs <- list(c(1, 2), c(1, 3), c(2, 3))
kappa <- function(weights) {
  lapply(pairs, function(pair) {
    table <- table(factor(code[, pair[1]], 1:3), factor(code[, pair[2]], 1:3))
    k <- Kappa(table, weights = "Equal-Spacing")
    found <- unname(if (weights == "none") k$Unweighted else k$Weighted)
    list(kappa = found[1], error = found[2], agreement = sum(diag(table)) / sum(table))
  })
}
# The variance by therapists, written out from influence values: units are people, sums are over therapists.
therapist <- rep(1:15, each = 10)
clustered <- function(pair) {
  a <- code[, pair[1]]; b <- code[, pair[2]]
  p <- table(factor(a, 1:3), factor(b, 1:3)) / length(a)
  row <- rowSums(p); column <- colSums(p)
  chance <- sum(row * column)
  k <- (sum(diag(p)) - chance) / (1 - chance)
  # Derivative of kappa by each person's share of the sample, centred.
  u <- ((a == b) - (column[a] + row[b]) * (1 - k)) / (1 - chance)
  u <- u - mean(u)
  sums <- tapply(u, therapist, sum)
  g <- length(sums)
  error <- sqrt(g / (g - 1) * sum(sums^2)) / length(a)
  list(low = unname(k - qt(.975, g - 1) * error), high = unname(k + qt(.975, g - 1) * error))
}
agreement <- list(
  call = "vcd::Kappa(weights = 'Equal-Spacing'): unweighted and weighted; the variance by therapists written out",
  code = code - 1, therapist = therapist, plain = kappa("none"), linear = kappa("linear"), clustered = lapply(pairs, clustered)
)

# ---- Cutoffs and thresholds of one sample (Jacobson & Truax, 1991; Hageman & Arrindell, 1999), lower is better.
pre <- c(31, 25, 18, 40, 22, 29, 35, 27, 16, 33, 38, 24)
post <- c(20, 24, 19, 22, 10, 30, 33, 12, 17, 21, 36, 9)
r <- .86; m0 <- 9.5; s0 <- 4.2
m1 <- mean(pre); s1 <- sd(pre); m2 <- mean(post); s2 <- sd(post); r12 <- cor(pre, post); z <- qnorm(.975)
se <- s1 * sqrt(1 - r)
t0 <- sqrt(s0^2 - se^2); t1 <- sqrt(s1^2 - se^2)
dd <- (s1^2 * r + s2^2 * (s2^2 - se^2) / s2^2 - 2 * s1 * s2 * r12) / (s1^2 + s2^2 - 2 * s1 * s2 * r12)
c_cut <- (s0 * m1 + s1 * m0) / (s0 + s1)
jt <- (post - pre) / sqrt(2 * se^2)
sample <- list(
  call = "formulas written out", pre = pre, post = post, reliability = r, m0 = m0, s0 = s0,
  cutoffs = list(a = m1 - 2 * s1, b = m0 + 2 * s0, c = c_cut, a_true = m1 - 2 * t1, b_true = m0 + 2 * t0, c_true = (t0 * m1 + t1 * m0) / (t0 + t1)),
  # For somebody at the mean: how many points lower the end score must be.
  thresholds = list(
    JT = z * sqrt(2) * se, GLN = z * s1 * sqrt(1 - r^2), EN = z * se, NK = z * sqrt(r^2 * s1^2 * (1 - r) + s1^2 * (1 - r)),
    HA = (qnorm(.95) * sqrt(dd) * sqrt(2) * se + (m2 - m1) * (1 - dd)) / dd
  ),
  shares = list(
    recovered = mean(jt < -z & pre > c_cut & post < c_cut), improved = mean(jt < -z & !(pre > c_cut & post < c_cut)),
    unchanged = mean(abs(jt) <= z), deteriorated = mean(jt > z & !(pre < c_cut & post > c_cut)),
    harmed = mean(jt > z & pre < c_cut & post > c_cut)
  ),
  crossed = mean(abs(jt) <= z & pre > c_cut & post < c_cut),
  mids = list(half_sd = s1 / 2, one_sem = se, smallest_detectable_change = z * sqrt(2) * se),
  # Recovered if nobody had changed: integral over the end score, given everybody's score before.
  expected_recovered = mean(sapply(pre, function(x) {
    if (x <= c_cut) return(0)
    integrate(function(y) dnorm(y, m1 + r * (x - m1), s1 * sqrt(1 - r^2)), -Inf, min(c_cut, x - z * sqrt(2) * se),
              rel.tol = 1e-11)$value
  }))
)

write_reference(
  "change_compared", "pROC, vcd, glm and formulas written out",
  list(mid = mid, agreement = agreement, sample = sample)
)
