# Reference values for therapists' repair rates: the logistic mixed model of glmer, the profile of the therapists' standard deviation,
# the median odds ratio and the expected range: Rscript validation/therapist_repair.R
source("validation/reference.R")
suppressPackageStartupMessages(library(lme4))

set.seed(20260521)
therapists <- 24
clients <- 10
therapist <- rep(seq_len(therapists), each = clients)
ruptures <- sample(1:4, therapists * clients, TRUE)
client <- rep(seq_along(therapist), ruptures)
onset <- sample(2:20, length(client), TRUE)
eta <- 0.6 + rnorm(therapists, 0, 0.7)[therapist[client]] + rnorm(length(therapist), 0, 0.8)[client] - 0.03 * (onset - 11)
data <- data.frame(client = client, therapist = therapist[client], onset = onset, repaired = rbinom(length(eta), 1, plogis(eta)))
data$z <- (data$onset - mean(data$onset)) / sd(data$onset)

tight <- glmerControl(
  optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9, maxfun = 1e5), tolPwrss = 1e-12, check.conv.singular = "ignore",
  check.conv.grad = "ignore", check.conv.hess = "ignore"
)

# --- Therapists only, nine points: the deviance as a function of theta, the rest maximised, and where it has risen by 3.84.
one <- glmer(repaired ~ 1 + (1 | therapist), data, family = binomial, nAGQ = 9, control = tight)
deviance_of <- update(one, devFunOnly = TRUE)
profile <- function(sd) {
  optimize(function(b) deviance_of(c(sd, b)), fixef(one) + c(-1.5, 1.5), tol = 1e-9)$objective
}
best <- getME(one, "theta")[[1]]
lowest <- profile(best)
rise <- function(sd) profile(sd) - lowest - qchisq(.95, 1)
statistic <- profile(0) - lowest
low <- if (statistic < qchisq(.95, 1)) 0 else uniroot(rise, c(0, best), tol = 1e-8)$root
high <- uniroot(rise, c(best, best + 2), tol = 1e-8)$root
modes <- ranef(one, condVar = TRUE)$therapist
se <- sqrt(as.numeric(attr(modes, "postVar")))
ratio <- function(sd) exp(sqrt(2) * qnorm(.75) * sd)
alone <- list(
  intercept = fixef(one)[[1]], sd = best, ci = c(low, high), statistic = statistic, p = pchisq(statistic, 1, lower.tail = FALSE) / 2,
  median_odds_ratio = ratio(c(best, low, high)), expected = plogis(fixef(one)[[1]] + c(-1, 1) * qnorm(.975) * best),
  modes = modes[[1]], se = se
)

# --- Ruptures in clients in therapists, with the session of the onset: glmer has no more than Laplace here.
two <- glmer(repaired ~ z + (1 | client) + (1 | therapist), data, family = binomial, control = tight)
sds <- as.data.frame(VarCorr(two))
nested <- list(
  fixed = unname(fixef(two)), client_sd = sds$sdcor[sds$grp == "client"], therapist_sd = sds$sdcor[sds$grp == "therapist"],
  modes = ranef(two)$therapist[[1]]
)
# Shares repaired with therapists at -1, 0 and 1 of their standard deviations, averaged over clients.
share <- function(b) integrate(function(u) plogis(fixef(two)[[1]] + b + nested$client_sd * u) * dnorm(u), -9, 9, rel.tol = 1e-10)$value
nested$shares <- sapply(c(-1, 0, 1) * nested$therapist_sd, share)

# --- Exact limits: quantiles of the binomial, and of the beta-binomial from its probabilities, interpolated between counts.
beta_binomial <- function(n, p, tau2) {
  w <- p * (1 - p) / tau2 - 1
  k <- 0:n
  exp(lchoose(n, k) + lbeta(k + p * w, n - k + (1 - p) * w) - lbeta(p * w, (1 - p) * w))
}
limits <- function(n, p, level, tau2) {
  mass <- if (tau2 > 0) beta_binomial(n, p, tau2) else dbinom(0:n, n, p)
  total <- cumsum(mass)
  tail <- (1 - level) / 2
  at <- function(q) {
    r <- which(total >= q - 1e-12)[1] - 1
    min(max((r - (total[r + 1] - q) / mass[r + 1]) / n, 0), 1)
  }
  c(low = if (mass[1] >= tail) 0 else at(tail), high = if (mass[n + 1] >= tail) 1 else at(1 - tail))
}
tails <- function(k, n, p, tau2) {
  mass <- if (tau2 > 0) beta_binomial(n, p, tau2) else dbinom(0:n, n, p)
  min(1, 2 * min(sum(mass[1:(k + 1)]), sum(mass[(k + 1):(n + 1)])))
}
cases <- expand.grid(n = c(5, 12, 30, 80), p = c(.5, .79, .93), level = c(.95, .998), tau2 = c(0, .01))
found <- t(mapply(limits, cases$n, cases$p, cases$level, cases$tau2))
cases$low <- found[, "low"]
cases$high <- found[, "high"]
cases$k <- round(.6 * cases$n)
cases$tail <- mapply(tails, cases$k, cases$n, cases$p, cases$tau2)
units <- data.frame(events = c(3, 9, 5, 20, 2, 11), n = c(5, 10, 11, 24, 8, 12))
p0 <- sum(units$events) / sum(units$n)
w <- units$n / (p0 * (1 - p0))
phi <- mean(w * (units$events / units$n - p0)^2)
k <- nrow(units)
dispersion <- list(phi = phi, tau2 = max(0, (k * phi - (k - 1)) / (sum(w) - sum(w^2) / sum(w))))

write_reference(
  "therapist_repair", "glmer with nAGQ = 9 (therapists only), and Laplace (clients in therapists); dbinom, and the beta-binomial written out",
  list(data = data[c("client", "therapist", "onset", "repaired")], alone = alone, nested = nested,
       limits = cases, units = units, dispersion = dispersion), digits = 10
)
