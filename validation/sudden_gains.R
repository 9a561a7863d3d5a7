# Sudden gains and losses, one interval at a time with base R's mean, sd and qt, on made-up series with missing sessions.
source("validation/reference.R")

set.seed(20260402)
people <- 60; sessions <- 14
x <- t(replicate(people, {
  level <- 32 - cumsum(c(0, rbinom(sessions - 1, 1, 0.12) * sample(c(-8, 8, 10, 14), sessions - 1, replace = TRUE)))
  pmax(0, round(level + rnorm(sessions, 0, 2)))
}))
x[matrix(runif(people * sessions) < 0.12, people)] <- NA

judge <- function(cutoff, percent, third, gain, first = FALSE) {
  out <- array(NA, c(3, people, sessions - 1))
  s <- if (gain) 1 else -1
  for (i in seq_len(people)) for (n in (if (first) 1 else 2):(sessions - 2)) {
    drop <- s * (x[i, n] - x[i, n + 1])
    pre <- na.omit(x[i, max(1, n - 2):n]); post <- na.omit(x[i, (n + 1):min(sessions, n + 3)])
    out[1, i, n] <- drop >= cutoff
    out[2, i, n] <- drop >= percent * x[i, n]
    a <- length(pre); b <- length(post)
    if (a >= (if (first && n == 1) 1 else 2) && b >= 2) {
      ss <- (if (a > 1) (a - 1) * sd(pre)^2 else 0) + (b - 1) * sd(post)^2
      limit <- qt(.975, a + b - 2) * sqrt(ss / (a + b - 2))
      if (third == "student") limit <- limit * sqrt(1 / a + 1 / b)
      out[3, i, n] <- s * (mean(pre) - mean(post)) > limit
    }
  }
  out
}
all3 <- function(c) which(t(c[1, , ] & c[2, , ] & c[3, , ] & !is.na(c[1, , ] + c[2, , ] + c[3, , ])) == 1) - 1 # row by row, from 0
count <- function(c) apply(c, 1, sum, na.rm = TRUE)
missing <- function(c) sum(is.na(c[1, , 2:(sessions - 2)] + c[2, , 2:(sessions - 2)] + c[3, , 2:(sessions - 2)]))
published <- judge(7, .25, "published", TRUE); student <- judge(7, .25, "student", TRUE)
early <- judge(7, .25, "published", TRUE, first = TRUE); loss <- judge(7, .25, "published", FALSE)
write_reference("sudden_gains", "the three criteria interval by interval: mean, sd, qt", list(
  values = x, cutoff = 1.959963984540054 * 10.5 * sqrt(2 * (1 - .931)),
  published = list(gains = all3(published), criteria = count(published), unknown = missing(published)),
  student = list(gains = all3(student), criteria = count(student)),
  first_session = list(gains = all3(early)),
  losses = list(losses = all3(loss), criteria = count(loss))
))
