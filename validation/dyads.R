# Reference values for couples, on made-up scores.
source("validation/reference.R")

set.seed(20, kind = "Mersenne-Twister")
k <- 36
couple <- rnorm(k, 88, 12)
score <- function(shift) round(couple + shift + rnorm(k, 0, 9))
a1 <- score(0)
b1 <- score(2)
a2 <- score(rnorm(k, 14, 10))
b2 <- score(rnorm(k, 15, 10))

pre <- (a1 + b1) / 2
post <- (a2 + b2) / 2
reliability <- .9
functional <- c(114.8, 17.8)
s_diff <- sd(pre) * sqrt(2 * (1 - reliability))
rci <- (post - pre) / s_diff
cutoff_b <- functional[1] - 2 * functional[2]
cutoff_c <- (functional[2] * mean(pre) + sd(pre) * functional[1]) / (functional[2] + sd(pre))
distressed <- pre < cutoff_c
improved <- rci > qnorm(.975)
recovered <- distressed & improved & post > cutoff_c
interval <- function(x, n) suppressWarnings(prop.test(x, n, correct = FALSE))$conf.int[1:2]
r <- cor.test(a1, b1)
calls <- "sd, prop.test(correct = FALSE), cor.test; couple mean, JT index with the SD of the couple means before"
write_reference("dyads_reference", calls, list(
  a1 = a1, b1 = b1, a2 = a2, b2 = b2, reliability = reliability, functional = functional,
  s_diff = s_diff, cutoff_b = cutoff_b, cutoff_c = cutoff_c, rci = rci,
  n_distressed = sum(distressed), n_recovered = sum(recovered), n_improved = sum(improved), n_deteriorated = sum(rci < -qnorm(.975)),
  recovered_ci = interval(sum(recovered), sum(distressed)), improved_ci = interval(sum(improved), k),
  partner_r = unname(r$estimate), partner_ci = r$conf.int[1:2], partner_p = r$p.value
))
