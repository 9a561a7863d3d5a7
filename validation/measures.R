# Reference values for the measures room, from psych.
source("validation/reference.R")
suppressPackageStartupMessages(library(psych))

# Twelve people, six items answered 1 to 7, items 3 and 6 worded the other way round, three answers missing; typed, not drawn.
answers <- rbind(
  c(2, 3, 6, 2, 1, 5), c(5, 4, 3, 5, 6, 2), c(7, 6, 1, 6, 7, 2), c(1, 2, 7, 1, 2, 6),
  c(4, 4, 4, 5, 3, 4), c(6, 5, 2, 7, 5, 3), c(3, 2, 5, 4, 2, 6), c(5, NA, 3, 4, 5, 3),
  c(2, 1, 6, 3, 2, 7), c(6, 7, 2, 5, 6, 1), c(4, 3, NA, 4, NA, 4), c(3, 5, 4, 2, 4, 5)
)
reversed <- c(3, 6)
keyed <- answers
keyed[, reversed] <- 8 - keyed[, reversed]
complete <- keyed[stats::complete.cases(keyed), ]
fit <- suppressWarnings(psych::alpha(as.data.frame(complete), check.keys = FALSE))
interval <- function(level) {
  bounds <- psych::alpha.ci(fit$total$raw_alpha, n.obs = nrow(complete), n.var = ncol(complete), p.val = 1 - level)
  list(level = level, low = bounds$lower.ci, high = bounds$upper.ci)
}
f_interval <- function(level) { # the F quantiles themselves, should psych's own interval change its definition
  n <- nrow(complete); k <- ncol(complete); a <- fit$total$raw_alpha; tail <- (1 - level) / 2
  list(level = level, low = 1 - (1 - a) * qf(1 - tail, n - 1, (n - 1) * (k - 1)), high = 1 - (1 - a) * qf(tail, n - 1, (n - 1) * (k - 1)))
}
scores <- rowMeans(complete)
calls <- "psych::alpha(complete answers, check.keys = FALSE); psych::alpha.ci; qf; pnorm"
write_reference("measures_alpha", calls, list(
  answers = answers, reversed = reversed, low = 1, high = 7,
  alpha = fit$total$raw_alpha, n = nrow(complete), mean = mean(scores), sd = sd(scores),
  sem = sd(scores) * sqrt(1 - fit$total$raw_alpha),
  psych_interval = interval(.95), f_intervals = lapply(c(.90, .95), f_interval),
  certainty = lapply(list(c(4.5, 3, .4, .5), c(4.1, 3.9, .3, .3), c(2, 6, .5, .4)), function(x) {
    p <- pnorm((x[1] - 4) / x[3]); q <- pnorm((x[2] - 4) / x[4])
    list(anxiety = x[1], avoidance = x[2], sem_anxiety = x[3], sem_avoidance = x[4],
         secure = (1 - p) * (1 - q), preoccupied = p * (1 - q), dismissing = (1 - p) * q, fearful = p * q)
  })
))
