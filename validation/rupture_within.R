# Reference values for slopes from session to session within clients: fixed effects, instruments in forward deviations (written out
# session by session), mixed models with within and between parts, and changes across breaks.
# Writes rupture_within.json.
source("validation/reference.R")
suppressMessages({library(lmerTest); library(clubSandwich); library(plm); library(AER)})

set.seed(20261122)
n <- 60
d <- do.call(rbind, lapply(seq_len(n), function(i) {
  t <- sort(sample(1:14, sample(7:12, 1)))
  level <- rnorm(1); slope <- rnorm(1, -.4, .3)
  a <- y <- numeric(15); y[1] <- 5 + level + rnorm(1)
  for (s in 1:15) {
    a[s] <- 4 + .3 * level - .15 * y[s] + rnorm(1, 0, .7)
    if (s < 15) y[s + 1] <- 3 + .45 * y[s] + slope * a[s] + level + rnorm(1, 0, .8)
  }
  gap <- sample(c(1, 2, 3), 15, replace = TRUE, prob = c(.75, .15, .1))
  data.frame(client = sprintf("c%02d", i), therapist = sprintf("t%02d", (i - 1) %/% 5 + 1), session = t, alliance = round(a[t], 2),
             symptoms = round(y[t], 2), gap = gap[t])
}))
z <- data.frame(client = unique(d$client), anxiety = round(rnorm(n, 4, 1), 2), avoidance = round(rnorm(n, 3.5, 1), 2))

# Pairs of sessions with adjacent numbers, of clients with two pairs or more.
pairs <- merge(d, transform(d, session = session - 1)[c("client", "session", "alliance", "symptoms", "gap")],
               by = c("client", "session"), suffixes = c("", "_next"))
pairs <- pairs[order(pairs$client, pairs$session), ]
pairs <- pairs[ave(pairs$session, pairs$client, FUN = length) >= 2, ]
pairs$time <- pairs$session + 1
pairs$log_time <- log(pairs$time + 1)
mean_of <- function(v) ave(v, pairs$client)
robust_rows <- function(fit, cluster, names) {
  t <- coef_test(fit, vcov = "CR2", cluster = cluster, test = "Satterthwaite")
  data.frame(term = names, estimate = t$beta, std_error = t$SE, ci_low = t$beta - qt(.975, t$df_Satt) * t$SE,
             ci_high = t$beta + qt(.975, t$df_Satt) * t$SE, p_value = t$p_Satt, row.names = NULL)
}

# Least squares within clients: plm, and clubSandwich's CR2 with Satterthwaite's df on the deviations.
terms <- c("alliance", "symptoms", "time", "log_time")
fe <- plm(symptoms_next ~ alliance + symptoms + time + log_time, pairs, index = c("client", "session"), model = "within")
deviations <- as.data.frame(lapply(pairs[c("symptoms_next", terms)], function(v) v - mean_of(v)))
flat <- lm(symptoms_next ~ 0 + alliance + symptoms + time + log_time, deviations)
stopifnot(all.equal(unname(coef(fe)), unname(coef(flat))))
within_rows <- robust_rows(flat, pairs$therapist, terms)

# Instruments, a loop over clients and sessions.
x <- as.matrix(pairs[terms])
level <- sapply(c("alliance", "symptoms"), function(v) pairs[[v]] - ave(pairs[[v]], pairs$session))
Y <- X <- Z <- cluster <- NULL
for (who in unique(pairs$client)) {
  rows <- which(pairs$client == who)
  for (k in seq_along(rows)[-length(rows)]) {
    later <- rows[-(1:k)]; m <- length(later); r <- rows[k]
    ahead <- function(v) sqrt(m / (m + 1)) * (v[r] - mean(v[later]))
    back <- function(v) if (k == 1) 0 else v[r] - mean(v[rows[1:(k - 1)]])
    Y <- c(Y, ahead(pairs$symptoms_next))
    X <- rbind(X, apply(x, 2, ahead))
    Z <- rbind(Z, c(back(pairs$alliance), back(pairs$symptoms), level[r, ], ahead(pairs$time), ahead(pairs$log_time)))
    cluster <- c(cluster, pairs$therapist[r])
  }
}
colnames(X) <- terms
iv_rows <- robust_rows(ivreg(Y ~ 0 + X | 0 + Z), cluster, terms)
# Cragg and Donald's statistic by way of the smallest canonical correlation.
free <- function(m) resid(lm(m ~ 0 + X[, 3:4]))
r <- min(cancor(free(X[, 1:2]), free(Z[, 1:4]), xcenter = FALSE, ycenter = FALSE)$cor)
strength <- (length(Y) - ncol(Z)) / 4 * r^2 / (1 - r^2)

# Within and between parts, clients' own slopes, clients in therapists.
pairs$own <- pairs$alliance - mean_of(pairs$alliance)
pairs$mean <- mean_of(pairs$alliance) - mean(pairs$alliance)
for (v in c("time", "log_time")) pairs[[paste0(v, "_c")]] <- pairs[[v]] - mean(pairs[[v]])
control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhobeg = 1e-3, rhoend = 1e-9, maxfun = 1e5), check.conv.singular = "ignore")
mixed <- lmer(symptoms_next ~ own + mean + time_c + log_time_c + (own | client) + (1 | therapist), pairs, control = control)
mixed_rows <- function(fit, which) {
  t <- coef(summary(fit))[which, , drop = FALSE]
  data.frame(term = which, estimate = t[, 1], std_error = t[, 2], ci_low = t[, 1] - qt(.975, t[, 3]) * t[, 2],
             ci_high = t[, 1] + qt(.975, t[, 3]) * t[, 2], p_value = t[, 5], row.names = NULL)
}

# Change across breaks of two weeks or more, by attachment in SDs over clients.
z$anxiety_z <- (z$anxiety - mean(z$anxiety)) / sd(z$anxiety)
z$avoidance_z <- (z$avoidance - mean(z$avoidance)) / sd(z$avoidance)
steps <- merge(d, transform(d, session = session - 1)[c("client", "session", "alliance", "gap")],
               by = c("client", "session"), suffixes = c("", "_next"))
steps <- merge(steps, z, by = "client")
steps <- steps[order(steps$client, steps$session), ]
steps$change <- steps$alliance_next - steps$alliance
steps$broken <- as.numeric(steps$gap_next >= 2)
steps$before <- as.numeric(steps$gap >= 2)
steps$own <- steps$broken - ave(steps$broken, steps$client)
steps$own_before <- steps$before - ave(steps$before, steps$client)
steps$mean <- ave(steps$broken, steps$client) - mean(steps$broken)
steps$time <- steps$session + 1 - mean(steps$session + 1)
steps$log_time <- log(steps$session + 2) - mean(log(steps$session + 2))
fixed <- "own + own_before + mean + time + log_time + anxiety_z + avoidance_z + own:anxiety_z + own:avoidance_z + own_before:anxiety_z + own_before:avoidance_z"
break_fit <- function(outcome) suppressWarnings(lmer(as.formula(paste(outcome, "~", fixed, "+ (own | client) + (1 | therapist)")), steps, control = control))
steps$level <- steps$alliance_next
wanted <- c("own", "own:anxiety_z", "own:avoidance_z")

calls <- paste("plm(model = 'within'); forward and backward deviations written out, AER::ivreg(); clubSandwich::coef_test(vcov = 'CR2',",
               "test = 'Satterthwaite'); cancor(); lmerTest::lmer() with Satterthwaite's df")
sds <- function(fit) as.data.frame(VarCorr(fit))[2, "sdcor"]
write_reference("rupture_within", calls, list(
  data = d, attachment = z[c("client", "anxiety", "avoidance")],
  fixed_effects = within_rows, instruments = iv_rows, strength = strength, n_instruments = length(Y), n_pairs = nrow(pairs),
  unadjusted = mixed_rows(mixed, c("own", "mean")), unadjusted_sd = sds(mixed),
  unadjusted_cr2 = sqrt(diag(as.matrix(vcovCR(mixed, cluster = pairs$therapist, type = "CR2"))))[2:3],
  level = mixed_rows(break_fit("level"), wanted), level_sd = sds(break_fit("level")),
  change = data.frame(term = wanted, estimate = fixef(break_fit("change"))[wanted], row.names = NULL),
  change_cr2 = sqrt(diag(as.matrix(vcovCR(break_fit("change"), cluster = steps$therapist, type = "CR2"))))[match(wanted, names(fixef(break_fit("change"))))]
))
