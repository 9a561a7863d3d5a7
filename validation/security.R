# Reference values for styles under measurement error, transitions, and earned security. Probabilities are of mvtnorm (Genz's and
# Miwa's algorithms) or of integrate(); variances come from the estimating equations with derivatives by differences, so that they
# share no formula with the project.
source("validation/reference.R")
suppressPackageStartupMessages({
  library(mvtnorm)
  library(vcd)
})
RNGversion("4.2.0")
set.seed(20240611)

below <- function(upper, mean, sigma) {
  if (any(upper == -Inf)) return(0)
  if (all(is.infinite(upper))) return(1)
  if (any(is.infinite(upper))) return(pnorm(upper, mean, sqrt(diag(sigma)))[is.finite(upper)])
  as.numeric(pmvnorm(c(-Inf, -Inf), upper, mean, sigma = sigma, algorithm = TVPACK(abseps = 1e-14), keepAttr = FALSE))
}
box <- function(l, u, mean, sigma) {
  below(u, mean, sigma) - below(c(l[1], u[2]), mean, sigma) - below(c(u[1], l[2]), mean, sigma) + below(l, mean, sigma)
}

# Classification functions of the ECR: anxiety, avoidance, constant.
fisher <- rbind(
  secure = c(5.4725318, 3.2893296, -11.5307833), preoccupied = c(9.7102446, 3.9246754, -28.4573220),
  dismissing = c(4.9392039, 7.3654621, -22.2281088), fearful = c(8.1776446, 7.2371075, -32.3553266)
)
# Probability that a style's function is the highest: the avoidance given the anxiety lies between bounds.
highest <- function(style, mean, sigma) {
  d <- -sweep(fisher[rownames(fisher) != style, ], 2, fisher[style, ])
  slope <- sigma[1, 2] / sigma[1, 1]
  sd2 <- sqrt(sigma[2, 2] - slope * sigma[1, 2])
  inner <- function(a) {
    vapply(a, function(one) {
      edge <- -(d[, 1] * one + d[, 3]) / d[, 2]
      low <- max(-Inf, edge[d[, 2] > 0])
      high <- min(Inf, edge[d[, 2] < 0])
      m <- mean[2] + slope * (one - mean[1])
      max(0, pnorm(high, m, sd2) - pnorm(low, m, sd2)) * dnorm(one, mean[1], sqrt(sigma[1, 1]))
    }, 0)
  }
  knots <- mean[1] + sqrt(sigma[1, 1]) * seq(-9, 9, by = 0.25)
  sum(vapply(seq_along(knots)[-1], function(i) {
    integrate(inner, knots[i - 1], knots[i], rel.tol = 1e-12, abs.tol = 1e-14, subdivisions = 2000)$value
  }, 0))
}
styles <- c("secure", "preoccupied", "dismissing", "fearful")
chances <- function(rule, mean, sigma) {
  if (rule == "midpoint") {
    c(
      secure = box(c(-Inf, -Inf), c(4, 4), mean, sigma), preoccupied = box(c(4, -Inf), c(Inf, 4), mean, sigma),
      dismissing = box(c(-Inf, 4), c(4, Inf), mean, sigma), fearful = box(c(4, 4), c(Inf, Inf), mean, sigma)
    )
  } else {
    sapply(styles, highest, mean = mean, sigma = sigma)
  }
}
class_of <- function(rule, x) {
  if (rule == "midpoint") styles[1 + (x[1] > 4) + 2 * (x[2] > 4)] else rownames(fisher)[which.max(fisher %*% c(x, 1))]
}
certainty <- list()
for (rule in c("midpoint", "fisher functions")) {
  for (given in list(
    list(x = c(4.2, 1.6), sem = c(.4, .4), ec = 0, kelley = FALSE), list(x = c(3.7, 4.1), sem = c(.35, .5), ec = 0, kelley = FALSE),
    list(x = c(3.7, 4.1), sem = c(.35, .5), ec = .4, kelley = FALSE), list(x = c(4.3, 3.2), sem = c(.4, .45), ec = -.2, kelley = TRUE),
    list(x = c(5.5, 5.1), sem = c(.4, .3), ec = .3, kelley = FALSE)
  )) {
    mean <- c(3.56, 2.92)
    r <- c(.86, .9)
    mixing <- matrix(c(1, given$ec, given$ec, 1), 2)
    error <- outer(given$sem, given$sem) * mixing
    m <- given$x
    spread <- error
    if (given$kelley) {
      m <- mean + r * (given$x - mean)
      spread <- outer(sqrt(r) * given$sem, sqrt(r) * given$sem) * mixing
    }
    p <- chances(rule, m, spread)
    again <- chances(rule, m, spread + error)
    own <- class_of(rule, given$x)
    certainty[[length(certainty) + 1]] <- c(
      list(
        rule = rule, anxiety = given$x[1], avoidance = given$x[2], sem = given$sem, error_correlation = given$ec,
        kelley = given$kelley, mean = mean, reliability = r
      ),
      as.list(p), list(misclassified = 1 - p[[own]], other_style_at_retest = 1 - again[[own]])
    )
  }
}

# ---- What unchanged people would do, given baseline scores: crossing, reliable crossing, staying.
mu <- c(3.9, 3.4)
sigma <- matrix(c(1.2, .4, .4, .9), 2)
r <- c(.85, .8)
cut <- c(4, 3.6)
x <- rbind(c(4.6, 3.0), c(5.2, 4.4), c(3.1, 3.9), c(4.05, 3.65), c(6.5, 2.0))
expectation <- lapply(c(0, .3), function(ec) {
  sd_e <- sqrt((1 - r) * diag(sigma))
  error <- outer(sd_e, sd_e) * matrix(c(1, ec, ec, 1), 2)
  true <- sigma - error
  shrink <- true %*% solve(sigma)
  v <- true - shrink %*% true
  need <- qnorm(.975) * sqrt(2 * diag(error))
  each <- t(apply(x, 1, function(one) {
    m <- as.numeric(mu + shrink %*% (one - mu))
    beyond <- one > cut
    crossed <- ifelse(beyond, pmin(cut, one - need), cut)
    both <- pmin(cut, one - need)
    # Secure, less secure without enough change on any side: with two cuts these are boxes.
    least <- ifelse(beyond, pmin(one - need, cut), -Inf)
    s <- v + error
    joint <- rbind(cbind(s, v), cbind(v, s))
    stay <- as.numeric(pmvnorm(rep(-Inf, 4), c(cut, cut), c(m, m), sigma = joint, algorithm = Miwa(steps = 4097)))
    c(
      crossing = box(c(-Inf, -Inf), cut, m, s), crossed = box(c(-Inf, -Inf), crossed, m, s),
      any = box(c(-Inf, -Inf), cut, m, s) - box(least, cut, m, s),
      both = box(c(-Inf, -Inf), both, m, s), staying = stay
    )
  }))
  c(list(error_correlation = ec, distance = need), lapply(split(each, col(each)), as.numeric) |> setNames(colnames(each)))
})

# ---- A sample with drop-out and therapists.
n <- 240
therapist <- sample(rep(1:24, each = 10))
pull <- rnorm(24, 0, .35)[therapist]
e <- function() cbind(rnorm(n, 0, sqrt(.15 * 1.2)), rnorm(n, 0, sqrt(.2 * .9)))
tau <- t(mu + t(chol(sigma - diag(c(.15 * 1.2, .2 * .9)))) %*% matrix(rnorm(2 * n), 2)) + pull
before <- round(tau + e(), 4)
after <- round(tau - .4 + e(), 4)
seen <- rbinom(n, 1, plogis(1.2 - .9 * (before[, 1] - 4))) == 1
insecure <- !(before[, 1] < cut[1] & before[, 2] < cut[2])
reached <- after[, 1] < cut[1] & after[, 2] < cut[2]
keep <- insecure
z <- cbind(1, before[keep, ])
seen_k <- seen[keep]
y <- ifelse(seen_k, reached[keep], 0)
fit <- glm(seen_k ~ z - 1, family = binomial, control = list(epsilon = 1e-14))
p <- fitted(fit)
share <- sum(seen_k * y / p) / sum(seen_k / p)
equations <- function(par) {
  q <- plogis(as.numeric(z %*% par[1:3]))
  cbind(z * (seen_k - q), seen_k * (y - par[4]) / q)
}
par <- c(coef(fit), share)
h <- 1e-5
bread <- sapply(1:4, function(j) {
  step <- replace(numeric(4), j, h)
  colMeans(equations(par + step) - equations(par - step)) / (2 * h)
})
influence <- -(equations(par) %*% t(solve(bread)))[, 4]
cr1 <- function(u, g) {
  s <- tapply(u, g, sum)
  sqrt(length(s) / (length(s) - 1) * sum(s^2)) / length(u)
}
dropout <- list(
  cut = cut, before = before, after = ifelse(cbind(seen, seen), after, NA), seen = seen, therapist = therapist,
  insecure = insecure, weighted = share, weighted_se = cr1(influence, seq_along(influence)),
  weighted_cluster_se = cr1(influence, therapist[keep]), effective = sum(seen_k / p)^2 / sum((seen_k / p)^2),
  complete = mean(reached[insecure & seen]), worst = sum(reached & insecure & seen) / sum(insecure),
  best = (sum(reached & insecure & seen) + sum(insecure & !seen)) / sum(insecure)
)

# The expectation and the excess of the same people, all seen; their standard errors by the infinitesimal jackknife (a person's
# weight is moved a little). Up to terms of 1/n these are the influence values.
estimate <- function(w) {
  w <- w / sum(w)
  m <- colSums(before * w)
  s <- crossprod(sweep(before, 2, m) * sqrt(w)) * n / (n - 1)
  error <- diag((1 - r) * diag(s))
  shrink <- (s - error) %*% solve(s)
  v <- s - shrink %*% (s - error)
  centre <- sweep(sweep(before, 2, m) %*% t(shrink), 2, m, "+")[insecure, ]
  sd <- sqrt(diag(v))
  expected <- sum(w[insecure] * apply(centre, 1, function(one) box(c(-Inf, -Inf), cut, one, v))) / sum(w[insecure])
  observed <- sum(w[insecure] * reached[insecure]) / sum(w[insecure])
  c(observed = observed, expected = expected, excess = observed - expected)
}
value <- estimate(rep(1, n))
u <- t(sapply(1:n, function(i) {
  (estimate(replace(rep(1, n), i, 1 + 1e-3)) - estimate(replace(rep(1, n), i, 1 - 1e-3))) / 2e-3 * n
}))
excess <- c(as.list(value), list(
  reliability = r, after_all = after, expected_se = cr1(u[, 2], 1:n), excess_se = cr1(u[, 3], 1:n),
  excess_cluster_se = cr1(u[, 3], therapist)
))

# ---- Agreement under clustering.
first <- apply(before, 1, function(one) 1 + (one[1] > cut[1]) + 2 * (one[2] > cut[2]))
last <- apply(after, 1, function(one) 1 + (one[1] > cut[1]) + 2 * (one[2] > cut[2]))
kappa_of <- function(w) {
  t <- tapply(w, list(factor(first, 1:4), factor(last, 1:4)), sum, default = 0) / sum(w)
  chance <- sum(rowSums(t) * colSums(t))
  (sum(diag(t)) - chance) / (1 - chance)
}
uk <- sapply(1:n, function(i) {
  (kappa_of(replace(rep(1, n), i, 1 + 1e-3)) - kappa_of(replace(rep(1, n), i, 1 - 1e-3))) / 2e-3 * n
})
hotelling <- function(moves) {
  sums <- rowsum(moves, therapist)
  g <- nrow(sums)
  q <- ncol(sums)
  # Hotelling's T squared of the clusters' totals, as an F.
  m <- colMeans(sums)
  t2 <- g * as.numeric(m %*% solve(cov(sums), m))
  f <- t2 * (g - q) / (q * (g - 1))
  list(statistic = f, df = q, p_value = pf(f, q, g - q, lower.tail = FALSE))
}
pairs <- combn(4, 2)
moves <- apply(pairs, 2, function(k) (first == k[1] & last == k[2]) - (first == k[2] & last == k[1]))
moves <- moves[, colSums(moves != 0) > 0]
margins <- sapply(1:3, function(k) (first == k) - (last == k))
secure_change <- (last == 1) - (first == 1)
agreement <- list(
  first = first, last = last, kappa = kappa_of(rep(1, n)), kappa_cluster_se = cr1(uk, therapist),
  vcd_ase = unname(Kappa(table(factor(first, 1:4), factor(last, 1:4)))$Unweighted["ASE"]),
  bowker = hotelling(moves), stuart_maxwell = hotelling(margins), secure_change = mean(secure_change),
  secure_change_se = cr1(secure_change - mean(secure_change), therapist),
  mcnemar_p = binom.test(sum(first == 1 & last != 1), sum((first == 1) != (last == 1)))$p.value
)

write_reference(
  "security",
  "mvtnorm::pmvnorm, integrate; glm and estimating equations with derivatives by differences; vcd::Kappa; Hotelling written out",
  list(
    certainty = certainty,
    expectation = list(mean = mu, covariance = sigma, reliability = r, cut = cut, scores = x, cases = expectation),
    dropout = dropout, excess = excess, agreement = agreement
  ),
  digits = 12
)
