# Reference values for missing data (imputation, Little's test, weights, tipping points): Rscript validation/missing.R
source("validation/reference.R")
suppressPackageStartupMessages({
  library(mice)
  library(lavaan)
})

# --- Multiple imputation by mice's Bayesian regressions (method "norm"): pooled mean change and its parts.
set.seed(20250301)
made <- function(n, occasions, intermittent) {
  arm <- rep(0:1, length.out = n)
  person <- rnorm(n, 0, 4)
  y <- sapply(seq_len(occasions), function(t) 20 + person - (1.5 + arm) * (t - 1) + rnorm(n, 0, 3))
  for (t in 2:occasions) {
    leaves <- is.na(y[, t - 1]) | runif(n) < plogis(-2 + 0.15 * (y[, t - 1] - 18))
    y[leaves, t] <- NA
  }
  for (t in 2:(occasions - 1)) y[runif(n) < intermittent & !is.na(y[, t + 1]), t] <- NA
  round(cbind(arm, y), 2)
}
pooled <- function(d, m) {
  data <- as.data.frame(d)
  names(data) <- c("arm", paste0("y", seq_len(ncol(d) - 1)))
  drawn <- mice(data, m = m, method = "norm", maxit = if (any(diff(t(is.na(d))) < 0)) 10 else 1, printFlag = FALSE, seed = 1)
  last <- names(data)[ncol(data)]
  change <- sapply(seq_len(m), function(i) { full <- complete(drawn, i); full[[last]] - full$y1 })
  one <- pool.scalar(colMeans(change), apply(change, 2, var) / nrow(data), n = nrow(data))
  arms <- apply(change, 2, function(x) mean(x[data$arm == 1]) - mean(x[data$arm == 0]))
  list(data = d, m = m, estimate = one$qbar, between = one$b, within = one$ubar, arm_difference = mean(arms))
}
drop_out <- pooled(made(150, 4, 0), 200)
holes <- made(150, 4, 0.12)
intermittent <- pooled(holes, 200)

# --- Normal maximum likelihood by lavaan's saturated model, and Little's statistic written out from it.
y <- as.data.frame(holes[, -1])
names(y) <- paste0("y", 1:4)
saturated <- lavCor(y, missing = "fiml", output = "fit", control = list(rel.tol = 1e-14, iter.max = 10000))
fitted <- lavInspect(saturated, "implied")
mu <- as.numeric(fitted$mean)
sigma <- unclass(fitted$cov) * nrow(y) / (nrow(y) - 1)
pattern <- apply(is.na(y), 1, paste, collapse = "")
parts <- lapply(split(y, pattern), function(p) {
  seen <- which(!is.na(p[1, ]))
  away <- colMeans(p[, seen, drop = FALSE]) - mu[seen]
  c(nrow(p) * away %*% solve(sigma[seen, seen], away), length(seen))
})
d2 <- sum(sapply(parts, `[`, 1))
df <- sum(sapply(parts, `[`, 2)) - 4
little <- list(mean = mu, covariance = unname(unclass(fitted$cov)), statistic = d2, df = df,
               p = pchisq(d2, df, lower.tail = FALSE), patterns = length(parts))

# --- Weights: the stacked estimating equations, differentiated by numbers; and a bootstrap of people.
set.seed(20250302)
n <- 240
therapist <- rep(1:24, each = 10)
x <- round(rnorm(n, 0, 1), 3)
z <- rbinom(n, 1, 0.4)
middle <- round(0.6 * x + rnorm(24, 0, 0.4)[therapist] + rnorm(n, 0, 0.8), 3)
first <- rbinom(n, 1, plogis(1.8 - 0.6 * x))
second <- ifelse(first == 1, rbinom(n, 1, plogis(1.5 - 0.9 * middle + 0.4 * z)), 0)
outcome <- round(0.5 * x + 0.7 * middle + rnorm(n, -1, 0.7), 3)
people <- data.frame(x, z, middle, first, second, outcome, therapist)
stay_rows <- function(d) { # one row a step at risk; predictors: an intercept for each step, and of each step its own
  one <- cbind(1, 0, d$x, d$z, 0)
  two <- cbind(0, 1, d$x, d$z, d$middle)[d$first == 1, , drop = FALSE]
  list(design = rbind(one, two), stays = c(d$first, d$second[d$first == 1]), who = c(seq_len(nrow(d)), which(d$first == 1)))
}
weighted <- function(d, rows = stay_rows(d)) {
  fit <- suppressWarnings(glm(rows$stays ~ rows$design - 1, family = binomial, control = list(epsilon = 1e-14, maxit = 100)))
  seen <- d$second == 1
  chance <- exp(tapply(log(fitted(fit)), rows$who, sum))
  w <- ifelse(seen, mean(seen) / chance, 0)
  list(gamma = unname(coef(fit)), w = w, mean = sum(w * d$outcome) / sum(w))
}
rows <- stay_rows(people)
found <- weighted(people)
seen <- people$second == 1
equations <- function(theta, bound = Inf) { # (n, 6): the scores of the logistic model, and the weighted mean's
  p <- plogis(as.numeric(rows$design %*% theta[1:5]))
  s <- rowsum((rows$stays - p) * rows$design, rows$who)
  w <- ifelse(seen, mean(seen) / exp(tapply(log(p), rows$who, sum)), 0)
  w <- ifelse(over, bound, w)
  cbind(s, w * (people$outcome - theta[6]))
}
sandwich <- function(theta, bound = Inf) {
  slope <- sapply(1:6, function(k) {
    h <- 1e-5
    step <- replace(numeric(6), k, h)
    colSums(equations(theta + step, bound) - equations(theta - step, bound)) / (2 * h)
  })
  bread <- solve(slope)
  se <- function(g) {
    sums <- rowsum(equations(theta, bound), g)
    k <- nrow(sums)
    sqrt((bread %*% (k / (k - 1) * crossprod(sums)) %*% t(bread))[6, 6])
  }
  list(se = se(seq_len(n)), se_therapist = se(therapist))
}
over <- rep(FALSE, n)
plain <- sandwich(c(found$gamma, found$mean))
bound <- unname(quantile(found$w[seen], 0.95)) # type 7
over <- found$w > bound
cut <- pmin(found$w, bound)
cut_mean <- sum(cut * people$outcome) / sum(cut)
truncated <- sandwich(c(found$gamma, cut_mean), bound)
drawn <- replicate(2000, weighted(people[sample(n, replace = TRUE), ])$mean)
spread <- sd(people$x)
weights <- list(
  people = people, gamma = found$gamma, mean = found$mean, weight_sum = sum(found$w), se = plain$se,
  se_therapist = plain$se_therapist, effective_n = sum(found$w)^2 / sum(found$w^2), bootstrap_se = sd(drawn),
  naive_se = sqrt(sum((found$w * (people$outcome - found$mean))^2) / sum(found$w)^2 * n / (n - 1)),
  truncated = list(bound = bound, n = sum(over), mean = cut_mean, se = truncated$se),
  balance = list(before = (mean(x[seen]) - mean(x)) / spread, after = (sum(found$w * x) / sum(found$w) - mean(x)) / spread)
)

# --- The tipping point of a mean change, by root finding over pool.scalar, on five stored imputations.
drawn <- mice(setNames(as.data.frame(holes), c("arm", "y1", "y2", "y3", "y4")), m = 5, method = "norm", printFlag = FALSE, seed = 3)
ends <- sapply(1:5, function(i) complete(drawn, i)$y4)
gone <- is.na(holes[, 5])
shifted <- function(delta) {
  change <- ends + delta * gone - holes[, 2]
  p <- pool.scalar(colMeans(change), apply(change, 2, var) / nrow(change), n = nrow(change), k = 1)
  c(p$qbar, p$qbar + c(-1, 1) * qt(.975, p$df) * sqrt(p$t))
}
tipping <- list(
  baseline = holes[, 2], ends = ends, missing = gone * 1, at_2 = shifted(2), at_minus_1.5 = shifted(-1.5),
  tipping_point = uniroot(function(d) shifted(d)[3], c(0, 60), tol = 1e-12)$root
)

write_reference("missing", "mice(method = 'norm'), pool.scalar, lavaan::lavCor(missing = 'fiml'), glm; stacked equations written out",
                list(drop_out = drop_out, intermittent = intermittent, little = little, weights = weights, tipping = tipping), digits = 12)
