# Reference values for the audit room, from base R.
source("validation/reference.R")

limits <- function(p0, n, level, tau2 = 0) {
  half <- qnorm((1 + level) / 2) * sqrt(1 / (4 * n) + tau2)
  angle <- asin(sqrt(p0))
  list(p0 = p0, n = n, level = level, tau2 = tau2, low = sin(angle - half)^2, high = sin(angle + half)^2)
}
wilson <- function(x, n, level) {
  interval <- suppressWarnings(prop.test(x, n, conf.level = level, correct = FALSE))$conf.int
  list(events = x, n = n, level = level, low = interval[1], high = interval[2])
}
dispersion <- function(x, n) {
  p0 <- sum(x) / sum(n)
  z <- 2 * sqrt(n) * (asin(sqrt(x / n)) - asin(sqrt(p0)))
  ends <- quantile(z, c(.1, .9), names = FALSE)
  z <- pmin(pmax(z, ends[1]), ends[2])
  k <- length(n)
  phi <- sum(z^2) / k
  w <- 4 * n
  tau2 <- if (k * phi < k - 1) 0 else (k * phi - (k - 1)) / (sum(w) - sum(w^2) / sum(w))
  list(events = x, n = n, p0 = p0, phi = phi, tau2 = tau2)
}

write_reference("audit_reference", "base R: qnorm, asin, prop.test(correct = FALSE), quantile(type 7)", list(
  limits = c(
    lapply(c(10, 50, 100, 1234), function(n) limits(.5, n, .95)),
    lapply(c(10, 50, 100, 1234), function(n) limits(.5, n, .998)),
    list(limits(.12, 80, .95), limits(.68, 40, .998), limits(.5, 200, .95, tau2 = .004))
  ),
  wilson = list(wilson(0, 12, .95), wilson(12, 12, .95), wilson(7, 20, .95), wilson(81, 263, .90), wilson(321061, 635185, .95)),
  dispersion = list(
    dispersion(c(12, 30, 18, 25, 9, 41, 22), c(30, 52, 41, 44, 28, 70, 47)),
    dispersion(c(5, 40, 10, 33, 2, 60), c(40, 50, 45, 48, 30, 75)),
    dispersion(c(10, 10, 10, 10), c(20, 20, 20, 20))
  )
))
