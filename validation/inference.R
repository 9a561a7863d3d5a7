# Reference values for resampling, Monte-Carlo intervals, equivalence, imputation, multiplicity and pooling's extra settings:
# Rscript validation/inference.R
source("validation/reference.R")
suppressPackageStartupMessages({
  library(boot)
  library(mice)
  library(mitools)
  library(mitml)
  library(metafor)
})

# --- Bootstrap: boot's own replicates and limits. 24 families; the statistic is a ratio of sums, its variance by the delta method.
set.seed(20250101)
families <- data.frame(count = sample(1:4, 24, replace = TRUE))
families$total <- round(rgamma(24, 2, 1) * families$count, 2)
ratio <- function(d, i) {
  s <- d[i, ]
  r <- sum(s$total) / sum(s$count)
  e <- s$total - r * s$count
  c(r, nrow(s) / (nrow(s) - 1) * sum((e - mean(e))^2) / sum(s$count)^2)
}
drawn <- boot(families, ratio, R = 499)
influence <- empinf(data = families, statistic = function(d, i) ratio(d, i)[1], stype = "i", type = "jack")
influence <- influence - mean(influence) # about the mean of the values without one (Efron & Tibshirani, 1993, eq. 14.15)
limits <- function(level) {
  found <- boot.ci(drawn, conf = level, type = c("perc", "basic", "bca", "stud"), L = influence)
  list(percentile = found$percent[4:5], basic = found$basic[4:5], BCa = found$bca[4:5], studentised = found$student[4:5])
}
bootstrap <- list(
  total = families$total, count = families$count, t0 = drawn$t0, t = drawn$t[, 1], variance = drawn$t[, 2],
  acceleration = sum(influence^3) / (6 * sum(influence^2)^1.5), sd = sd(drawn$t[, 1]),
  limits = list(`0.95` = limits(.95), `0.9` = limits(.90))
)

# --- Permutation tests: p values by listing every reshuffle.
x <- c(4.1, 5.6, 3.9, 7.2, 6.8, 5.1, 8.4, 7.7, 6.1, 9.0)
arm <- c(0, 0, 0, 1, 0, 0, 1, 1, 1, 1)
differ <- function(g) mean(x[g == 1]) - mean(x[g == 0])
share <- function(found, seen) mean(abs(found) >= abs(seen) - 1e-12)
free <- apply(combn(10, 5), 2, function(i) differ(replace(numeric(10), i, 1)))
stratum <- c(1, 1, 1, 1, 1, 2, 2, 2, 2, 2)
within <- outer(seq_len(5), seq_len(5), Vectorize(function(i, j) { # one treated in the first half, four in the second
  differ(replace(replace(numeric(10), 6:10, 1), c(i, 5 + j), c(1, 0)))
}))
cluster <- c(1, 1, 2, 3, 2, 4, 5, 5, 6, 3)
treated <- c(0, 0, 1, 0, 1, 1) # of the six clusters
clustered <- apply(combn(6, 3), 2, function(i) differ(replace(numeric(6), i, 1)[cluster]))
change <- c(1.2, -0.4, 0.8, 2.1, -0.9, 1.5, 0.3, 1.1, -0.2, 0.7)
signs <- as.matrix(expand.grid(rep(list(c(-1, 1)), 10)))
signs6 <- as.matrix(expand.grid(rep(list(c(-1, 1)), 6)))
permutation <- list(
  x = x, arm = arm, stratum = stratum, cluster = cluster, treated = treated, change = change,
  free = list(statistic = differ(arm), p = share(free, differ(arm)), p_greater = mean(free >= differ(arm) - 1e-12)),
  within = list(statistic = differ(arm), p = share(within, differ(arm))),
  clustered = list(statistic = differ(treated[cluster]), p = share(clustered, differ(treated[cluster]))),
  flipped = list(statistic = mean(change), p = share(signs %*% change / 10, mean(change))),
  flipped_clusters = list(p = share(signs6 %*% rowsum(change, cluster) / 10, mean(change)))
)

# --- Product and ratio of two normal variables: the exact distribution, by integration over the second.
given <- function(v, m) list(
  mean = function(y) m$a + m$rho * m$sa / m$sb * (y - m$b), sd = m$sa * sqrt(1 - m$rho^2)
)
integrated <- function(f, m) {
  edges <- sort(unique(c(m$b + m$sb * seq(-9, 9, by = 1), 0)))
  sum(mapply(function(from, to) integrate(f, from, to, rel.tol = 1e-11, abs.tol = 1e-14)$value, head(edges, -1), edges[-1]))
}
exact <- function(kind, m) {
  g <- given(NULL, m)
  below <- function(q) integrated(function(y) {
    cut <- if (kind == "product") q / y else q * y
    p <- pnorm((cut - g$mean(y)) / g$sd)
    dnorm(y, m$b, m$sb) * ifelse(y > 0, p, 1 - p)
  }, m)
  quantile <- function(p) uniroot(function(q) below(q) - p, c(-20, 20), tol = 1e-10)$root
  c(m, kind = kind, list(low = quantile(.025), high = quantile(.975), density = sapply(c(.025, .975), function(p) {
    q <- quantile(p)
    (below(q + 1e-4) - below(q - 1e-4)) / 2e-4
  })))
}
monte_carlo <- list(
  exact("product", list(a = .4, b = .3, sa = .1, sb = .15, rho = 0)),
  exact("product", list(a = .4, b = .3, sa = .1, sb = .15, rho = -.4)),
  exact("product", list(a = 0, b = .5, sa = .2, sb = .1, rho = 0)),
  exact("ratio", list(a = .2, b = .5, sa = .1, sb = .08, rho = .3))
)

# --- Equivalence: pairs of one-sided t tests; one-sided score tests for a share.
one_sided <- function(..., low, high, alpha = .05) {
  lower <- t.test(..., mu = low, alternative = "greater")
  upper <- t.test(..., mu = high, alternative = "less")
  both <- t.test(..., conf.level = 1 - 2 * alpha)
  list(
    low = low, high = high, alpha = alpha, p_low = lower$p.value, p_high = upper$p.value, df = unname(lower$parameter),
    std_error = both$stderr, ci = both$conf.int[1:2], p_difference = t.test(...)$p.value
  )
}
hours <- split(sleep$extra, sleep$group)
petal <- split(iris$Sepal.Width, iris$Species)
score <- function(x, n, low, high, null, alpha = .05) list(
  x = x, n = n, low = low, high = high, null = null, alpha = alpha,
  p_low = prop.test(x, n, low, alternative = "greater", correct = FALSE)$p.value,
  p_high = prop.test(x, n, high, alternative = "less", correct = FALSE)$p.value,
  p_difference = prop.test(x, n, null, correct = FALSE)$p.value,
  ci = prop.test(x, n, conf.level = 1 - 2 * alpha, correct = FALSE)$conf.int[1:2]
)
equivalence <- list(
  first = hours[[1]], second = hours[[2]], one = petal$versicolor, other = petal$virginica[1:30],
  mean = one_sided(hours[[1]], low = -1, high = 2),
  paired = one_sided(hours[[2]], hours[[1]], paired = TRUE, low = -1.5, high = 2.5),
  welch = one_sided(petal$versicolor, petal$virginica[1:30], low = -.4, high = .3),
  welch_narrow = one_sided(petal$versicolor, petal$virginica[1:30], low = -.1, high = .1, alpha = .025),
  share = score(52, 110, .35, .6, .5), share_undecided = score(9, 20, .35, .55, .4, alpha = .1)
)

# --- Rubin's rules: mice's nhanes, five imputations.
imputed <- mice(nhanes, m = 5, seed = 11, printFlag = FALSE)
fits <- with(imputed, lm(chl ~ age + bmi + hyp))
each <- getfit(fits)
told <- function(pooled) {
  s <- summary(pooled, conf.int = TRUE)
  list(
    estimate = s$estimate, std_error = s$std.error, df = s$df, low = s$`2.5 %`, high = s$`97.5 %`, p = s$p.value,
    within = pooled$pooled$ubar, between = pooled$pooled$b, increase = pooled$pooled$riv, missing = pooled$pooled$fmi
  )
}
mi <- MIcombine(lapply(each, coef), lapply(each, vcov))
joint <- function(larger, smaller, df_complete) {
  found <- testModels(larger, smaller, method = "D1", df.com = df_complete)
  as.numeric(found$test)
}
small <- lapply(each, function(f) update(f, . ~ age, data = f$model))
alone <- lapply(each, function(f) update(f, . ~ age + bmi, data = f$model))
scalar <- pool.scalar(c(.31, .42, .28), c(.012, .010, .015), n = 60, k = 2)
imputation <- list(
  terms = names(coef(each[[1]])), estimates = do.call(rbind, lapply(each, coef)), covariances = lapply(each, function(f) unname(vcov(f))),
  df_complete = each[[1]]$df.residual, pooled = told(pool(fits)), pooled_large = told(pool(fits, dfcom = Inf)),
  covariance = unname(vcov(mi)), mitools_df = unname(mi$df), mitools_missing = unname(mi$missinfo),
  joint = joint(each, small, NULL), joint_complete = joint(each, small, 21), joint_two = joint(each[1:3], small[1:3], NULL),
  single = joint(each, alone, NULL),
  scalar = list(q = scalar$qhat, u = scalar$u, qbar = scalar$qbar, t = scalar$t, df = scalar$df, r = scalar$r, fmi = scalar$fmi)
)

# --- Multiplicity.
p <- c(.012, .41, NA, .0004, .03, .03, .77, .0081, 1, 0, .049, NA, .2)
multiplicity <- list(p = p, adjusted = sapply(
  c(holm = "holm", hochberg = "hochberg", bonferroni = "bonferroni", `benjamini-hochberg` = "BH", `benjamini-yekutieli` = "BY"),
  function(m) p.adjust(p, m), simplify = FALSE
))

# --- Pooling: Hartung-Knapp with the factor never below 1, and the prediction interval on k - 2 degrees of freedom.
tight <- list(threshold = 1e-14, maxiter = 10000)
pooled <- function(y, v) {
  plain <- rma(y, v, control = tight)
  adhoc <- rma(y, v, test = "adhoc", control = tight)
  higgins <- predict(plain, pi.type = "riley")
  higgins_adhoc <- predict(adhoc, pi.type = "riley")
  list(
    y = y, v = v, std_error = adhoc$se, ci = c(adhoc$ci.lb, adhoc$ci.ub), p = adhoc$pval,
    prediction = c(higgins$pi.lb, higgins$pi.ub), prediction_adhoc = c(higgins_adhoc$pi.lb, higgins_adhoc$pi.ub)
  )
}
alike <- pooled(c(.21, .18, .25, .2, .23), c(.02, .05, .01, .03, .04)) # closer together than their errors say: q is below 1
apart <- pooled(c(.1, .62, .25, .9, -.2), c(.02, .05, .01, .03, .04))

# Fisher scoring swings between two values here; metafor converges with halved steps.
swinging <- list(
  y = c(.1232, .2631, -.1441, .2043, .1733, .5202, .2343, .1376, .0028, .2760),
  v = c(.1788, .1733, .0166, .1930, .1624, .1346, .1769, .1424, .1885, .0638)
)
swinging$plain <- tryCatch(rma(swinging$y, swinging$v)$tau2, error = function(e) conditionMessage(e))
halved <- rma(swinging$y, swinging$v, control = c(tight, list(stepadj = .5)))
swinging <- c(swinging, list(tau2 = halved$tau2, estimate = as.numeric(halved$beta), std_error = halved$se))

write_reference(
  "inference_reference",
  paste(
    "boot::boot, boot.ci, empinf(type = jack); combn and expand.grid; integrate; t.test, prop.test(correct = FALSE);",
    "mice::pool, pool.scalar; mitools::MIcombine; mitml::testModels(method = D1); p.adjust;",
    "metafor::rma(test = adhoc), predict(pi.type = riley)"
  ),
  list(
    bootstrap = bootstrap, permutation = permutation, monte_carlo = monte_carlo, equivalence = equivalence,
    imputation = imputation, multiplicity = multiplicity, pooling = list(alike = alike, apart = apart, swinging = swinging)
  )
)
