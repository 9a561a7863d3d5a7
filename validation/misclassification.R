# Class tables corrected for misclassification, and correlations for unreliability. The most likely possible table is found as that of a
# Poisson model with bounds (nlminb), not by EM; the root of a retest's transitions by Denman and Beavers' iteration, not by eigenvalues.
source("validation/reference.R")
suppressPackageStartupMessages({
  library(vcd)
  library(psych)
})

mixture <- function(kappa, m) sqrt(kappa) * diag(length(m)) + (1 - sqrt(kappa)) * matrix(m, length(m), length(m), byrow = TRUE)
kappa_of <- function(t) (sum(diag(t)) - sum(rowSums(t) * colSums(t))) / (1 - sum(rowSums(t) * colSums(t)))
inverted <- function(p, a, b) solve(t(a)) %*% p %*% solve(b)
# With sum(theta) subtracted the shares sum to 1 at the maximum.
possible <- function(p, a, b) {
  k <- nrow(p)
  f <- function(theta) { s <- t(a) %*% matrix(theta, k) %*% b; -sum(ifelse(p > 0, p * log(pmax(s, 1e-300)), 0)) + sum(theta) }
  g <- function(theta) { s <- t(a) %*% matrix(theta, k) %*% b; as.vector(1 - a %*% (p / s) %*% t(b)) }
  best <- NULL
  for (start in list(as.vector(p) + .01, rep(1 / k^2, k^2), as.vector(diag(rowSums(p)) + .02))) {
    fit <- nlminb(start, f, g, lower = 0, control = list(rel.tol = 1e-15, x.tol = 1e-12, iter.max = 5000, eval.max = 20000))
    if (is.null(best) || fit$objective < best$objective) best <- fit
  }
  matrix(best$par, k)
}
root <- function(q) {
  y <- q; z <- diag(nrow(q))
  for (i in 1:50) { new <- (y + solve(z)) / 2; z <- (z + solve(y)) / 2; y <- new }
  y
}
case <- function(counts, a, b) {
  p <- counts / sum(counts)
  t <- inverted(p, a, b)
  ml <- possible(p, a, b)
  r <- rowSums(ml); c <- colSums(ml); d <- pmin(r, c)
  full <- diag(d) + (if (sum(d) < 1 - 1e-12) outer(r - d, c - d) / (1 - sum(d)) else 0)
  seen <- t(a) %*% full %*% b
  list(counts = counts, parent_errors = a, child_errors = b, inverted = t, possible = ml, kappa = kappa_of(t),
       possible_kappa = kappa_of(ml), ceiling_agreement = sum(diag(seen)), ceiling_kappa = kappa_of(seen))
}
four <- matrix(c(62, 29, 14, 11, 24, 210, 14, 39, 3, 9, 10, 6, 19, 26, 10, 62), 4, byrow = TRUE)
two <- matrix(c(304, 67, 98, 192), 2, byrow = TRUE)
three <- matrix(c(30, 4, 1, 3, 60, 2, 0, 3, 20), 3, byrow = TRUE)
shares <- function(x, side) if (side == 1) rowSums(x) / sum(x) else colSums(x) / sum(x)
by_kappa <- function(x, first, second) case(x, mixture(first, shares(x, 1)), mixture(second, shares(x, 2)))
given <- matrix(c(.85, .10, .05, .05, .90, .05, .02, .18, .80), 3, byrow = TRUE)
other <- matrix(c(.80, .15, .05, .08, .88, .04, .10, .10, .80), 3, byrow = TRUE)

retest <- matrix(c(17, 2, 0, 3, 38, 2, 1, 3, 17), 3, byrow = TRUE)
both <- (retest + t(retest)) / 2
m <- c(.2, .5, .12, .18)
model <- 83 * (.63 * diag(m) + .37 * outer(m, m))
pair <- matrix(c(.71, .31, .31, .84), 2)
write_reference("misclassification", "solve, nlminb with bounds, Denman-Beavers root, vcd::Kappa, psych::correct.cor", list(
  tables = list(four_way = by_kappa(four, .63, .7), two_way = by_kappa(two, .8, .7), boundary_two = by_kappa(two, .5, .45),
                boundary_three = by_kappa(three, .7, .75), given = case(three, given, other)),
  retest = list(counts = retest, root = root(both / rowSums(both))),
  retest_kappa_error = list(kappa = .63, margins = m, n = 83, std_error = unname(Kappa(model)$Unweighted["ASE"])),
  disattenuated = list(r = .31, first = .71, second = .84, corrected = correct.cor(pair, c(.71, .84))[1, 2])
), digits = 12)
