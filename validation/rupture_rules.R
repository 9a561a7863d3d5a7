# Reference values for the rules of ruptures that charts and drops of rupture.R leave open: screened ranges and run rules,
# spreads of a sample, drops beyond measurement error, and shifts of the level. Writes rupture_rules.json.
source("validation/reference.R")
suppressPackageStartupMessages(library(strucchange))

# Screened mean moving range: ranges above 3.267 means are left out, once.
screened <- function(session, score) {
  ranges <- abs(diff(score))[diff(session) == 1]
  kept <- ranges[ranges <= 3.267 * mean(ranges)]
  list(session = session, score = score, n_left_out = length(ranges) - length(kept),
       limit = rep(mean(score) - 2.66 * mean(kept), length(score)))
}
# Run rules, by loops over sessions. A zone counts only once the series has been out of it.
runs <- function(session, score, rule, run = 7) {
  ranges <- abs(diff(score))[diff(session) == 1]
  width <- mean(ranges)
  low <- if (rule == "two_of_three") score < mean(score) - 2.66 * 2 / 3 * width else score < mean(score)
  n <- length(score)
  joined <- function(i) session[i] - session[i - 1] == 1
  signal <- logical(n)
  for (i in seq_len(n)) if (low[i] && any(!low[seq_len(i)])) {
    if (rule == "two_of_three") {
      one <- i > 1 && joined(i) && low[i - 1]
      two <- i > 2 && joined(i) && joined(i - 1) && low[i - 2]
      signal[i] <- one || two
    } else {
      k <- 1; j <- i
      while (j > 1 && joined(j) && low[j - 1]) { k <- k + 1; j <- j - 1 }
      signal[i] <- k >= run
    }
  }
  list(session = session, score = score, rule = rule, begins = session[signal & !c(FALSE, signal[-n])])
}
# Least squares over all partitions into segments of two sessions or more, for each number of cuts (strucchange::breakpoints);
# then the number of cuts whose penalised sum of squares is least. A shift across a missing session is none. sigma = mean moving range / (2 / sqrt(pi)).
shift <- function(session, score, penalty = 2) {
  n <- length(score)
  price <- penalty * (mean(abs(diff(score))[diff(session) == 1]) * sqrt(pi) / 2)^2 * log(n)
  most <- floor(n / 2) - 2 # as many as the function takes
  found <- breakpoints(score ~ 1, h = 2, breaks = most)
  rss <- c(sum((score - mean(score))^2), sapply(seq_len(most), function(m) breakpoints(found, breaks = m)$RSS))
  m <- which.min(rss + price * 0:most) - 1
  cuts <- if (m > 0) breakpoints(found, breaks = m)$breakpoints else integer(0)
  segment <- findInterval(seq_len(n), c(0, cuts) + 1)
  means <- tapply(score, segment, mean)
  list(session = session, score = score, cuts = cuts, fitted = unname(means[segment]),
       penalised = min(rss + price * 0:most), begins = session[cuts + 1][diff(means) <= -sd(score) & diff(session)[cuts] == 1])
}

set.seed(31)
n <- 24
full <- 1:n
gaps <- cumsum(sample(c(1, 1, 1, 1, 2), n, replace = TRUE))
dip <- round(4.2 + rnorm(n, 0, .3), 2); dip[c(9, 16)] <- c(2.1, 2.3)
calm <- round(4.2 + rnorm(n, 0, .3), 2)
level <- round(c(rep(4.5, 9), rep(3.4, 8), rep(4.3, 7)) + rnorm(n, 0, .25), 2)
slide <- round(4.6 - .08 * full + rnorm(n, 0, .25), 2)
wave <- round(4 + .8 * sin(full / 3) + rnorm(n, 0, .2), 2)
courses <- list(list(full, dip), list(full, calm), list(full, level), list(gaps, level), list(full, slide), list(gaps, wave))

clients <- lapply(1:6, function(i) round(3.5 + rnorm(1, 0, .5) + rnorm(9, 0, .1 * i), 2))
own <- sapply(clients, sd)
first <- sapply(clients, `[`, 1)
sem <- sd(first) * sqrt(1 - .85)
falls <- function(x, least) which(c(FALSE, diff(x) <= -least))
calls <- "mean(), sd(), abs(diff()), loops; strucchange::breakpoints(x ~ 1, h = 2), penalised by 2 sigma^2 log(n) a cut"
write_reference("rupture_rules", calls, list(
  screened = lapply(courses, function(x) screened(x[[1]], x[[2]])),
  runs = c(lapply(courses, function(x) runs(x[[1]], x[[2]], "two_of_three")),
           lapply(courses, function(x) runs(x[[1]], x[[2]], "run", 5))),
  shift = lapply(courses, function(x) shift(x[[1]], x[[2]])),
  sample = list(
    scores = do.call(rbind, clients), mean_sd = mean(own),
    sample_sd = lapply(clients, function(x) I(falls(x, mean(own)))),
    stricter = lapply(clients, function(x) I(falls(x, max(sd(x), mean(own))))),
    sem = sem, reliable = lapply(clients, function(x) I(falls(x, 1.96 * sqrt(2) * sem)))
  )
))
