# Reference values for the agreement of coders: intraclass correlations (psych, lme4), kappa (vcd), jackknife over clients by hand.
source("validation/reference.R")
suppressPackageStartupMessages({library(psych); library(lme4); library(vcd)})

# 48 sessions of 16 clients, coded by three coders: counts, and ratings from 1 to 5. Drawn once here and stored with the values.
set.seed(20261122)
clients <- 16; each <- 3; n <- clients * each; k <- 3
client <- rep(seq_len(clients), each = each)
level <- rnorm(clients, sd = .8)[client] + rnorm(n, sd = .7)
counts <- sapply(c(0, .15, -.1), function(bias) rpois(n, exp(.7 * level + bias)))
ratings <- sapply(c(0, .3, -.2), function(bias) pmin(pmax(round(2.5 + level + bias + rnorm(n, sd = .5)), 1), 5))
seen <- counts > 0
# Who coded what, where not everybody coded everything: one coder of each session leaves it out, every fourth session is whole.
coded <- matrix(TRUE, n, k)
coded[cbind(seq_len(n), (seq_len(n) %% k) + 1)] <- FALSE
coded[seq_len(n) %% 4 == 0, ] <- TRUE

names <- c(ICC1 = "one_single", ICC2 = "agreement_single", ICC3 = "consistency_single",
           ICC1k = "one_average", ICC2k = "agreement_average", ICC3k = "consistency_average")
iccs <- function(x) {
  found <- ICC(x, lmer = FALSE)$results
  as.list(setNames(found$ICC[match(names(names), found$type)], names))
}
# Delete one client at a time, Fisher's scale for k coders, t on G - 1 df.
jackknife <- function(estimate, without, k, level = .95) {
  z <- function(r) .5 * log((1 + (k - 1) * r) / (1 - r))
  back <- function(z) (exp(2 * z) - 1) / (exp(2 * z) + k - 1)
  g <- length(without)
  error <- sqrt((g - 1) / g * sum((z(without) - mean(z(without)))^2))
  half <- qt(.5 + level / 2, g - 1) * error
  list(std_error = error, ci_low = back(z(estimate) - half), ci_high = back(z(estimate) + half))
}
intervals <- function(x) {
  lapply(list(agreement = "agreement_single", consistency = "consistency_single"), function(name) {
    without <- sapply(unique(client), function(g) iccs(x[client != g, ])[[name]])
    jackknife(iccs(x)[[name]], without, k)
  })
}
# One-way with unequal numbers of coders: mean squares of aov, k0 of the expected mean squares.
one_way <- function(value, target) {
  ms <- summary(aov(value ~ factor(target)))[[1]][["Mean Sq"]]
  size <- table(target)
  k0 <- (sum(size) - sum(size^2) / sum(size)) / (length(size) - 1)
  list(icc = (ms[1] - ms[2]) / (ms[1] + (k0 - 1) * ms[2]), k0 = k0)
}
long <- data.frame(value = ratings[coded], target = row(ratings)[coded], coder = col(ratings)[coded])
long$client <- client[long$target]
unequal <- with(long, one_way(value, target))
left <- sapply(unique(client), function(g) with(subset(long, client != g), one_way(value, target)$icc))
model <- lmer(value ~ (1 | target), data.frame(value = c(ratings), target = rep(seq_len(n), k)))
parts <- as.data.frame(VarCorr(model))$vcov

# Kappa of two coders with the error of independent units, and with influence values summed within clients.
pair <- function(i, j) {
  found <- Kappa(table(factor(seen[, i], c(FALSE, TRUE)), factor(seen[, j], c(FALSE, TRUE))))$Unweighted
  list(kappa = unname(found["value"]), ase = unname(found["ASE"]), agreement = mean(seen[, i] == seen[, j]))
}
influence <- function(a, b) {
  p <- table(factor(a, c(FALSE, TRUE)), factor(b, c(FALSE, TRUE))) / length(a)
  rows <- rowSums(p); columns <- colSums(p); chance <- sum(rows * columns)
  kappa <- (sum(diag(p)) - chance) / (1 - chance)
  slope <- (diag(2) - outer(columns, rows, "+") * (1 - kappa)) / (1 - chance)
  slope[cbind(a + 1, b + 1)] - sum(p * slope)
}
clustered <- function(u, g) { # CR1
  sums <- tapply(u, g, sum)
  sqrt(length(sums) / (length(sums) - 1) * sum(sums^2)) / length(u)
}
pairs <- list(c(1, 2), c(1, 3), c(2, 3))
kappas <- sapply(pairs, function(p) pair(p[1], p[2])$kappa)
light <- unlist(lapply(seq_along(pairs), function(i) kappas[i] - mean(kappas) + influence(seen[, pairs[[i]][1]], seen[, pairs[[i]][2]])))
calls <- paste("psych::ICC(x, lmer = FALSE); lme4::lmer(value ~ (1 | target)); aov(value ~ factor(target));",
               "vcd::Kappa(table(a, b)); jackknife and cluster sums by hand")
write_reference("observer", calls, list(
  client = client, counts = counts, ratings = ratings, coded = coded,
  icc = list(counts = iccs(counts), ratings = iccs(ratings)),
  interval = list(counts = intervals(counts), ratings = intervals(ratings)),
  reml = list(icc = parts[1] / sum(parts)),
  one_way = c(unequal, jackknife(unequal$icc, left, unequal$k0)),
  kappa = c(pair(1, 2), list(clustered = clustered(influence(seen[, 1], seen[, 2]), client))),
  light = list(kappa = mean(kappas), clustered = clustered(light, rep(client, 3)))
))
