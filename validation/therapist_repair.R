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

write_reference(
  "therapist_repair", "glmer with nAGQ = 9 (therapists only), and Laplace (clients in therapists)",
  list(data = data[c("client", "therapist", "onset", "repaired")], alone = alone, nested = nested), digits = 10
)
