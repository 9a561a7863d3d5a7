# Repair and outcome: contrasts of three groups with HC3 and with CR2 by therapist (clubSandwich), regression standardisation with its
# influence functions written out, partial correlations, and a discrete-time hazard with time-varying states (glm and vcovCL).
source("validation/reference.R")
library(sandwich)
library(clubSandwich)

set.seed(20261121)
n <- 120
group <- sample(c("none", "repaired", "unrepaired"), n, replace = TRUE, prob = c(.45, .3, .25))
therapist <- sample(sprintf("t%02d", 1:15), n, replace = TRUE)
n_sessions <- sample(6:24, n, replace = TRUE)
pre <- round(rnorm(n, 20, 5), 1)
effect <- c(none = 0, repaired = -1.5, unrepaired = 2.5)[group]
post <- round(4 + .5 * pre - .1 * n_sessions + effect * (1 + .1 * (pre - 20)) + rnorm(15)[as.integer(factor(therapist))] +
                rnorm(n, 0, 2 + .1 * n_sessions), 1)
repaired <- as.numeric(group == "repaired")
unrepaired <- as.numeric(group == "unrepaired")
p <- sum(repaired) / sum(repaired + unrepaired)
fit <- lm(post ~ pre + n_sessions + repaired + unrepaired)
none_any <- c(0, 0, 0, -p, -(1 - p))
weights <- list(
  repaired_minus_none = c(0, 0, 0, 1, 0), unrepaired_minus_none = c(0, 0, 0, 0, 1),
  repaired_minus_unrepaired = c(0, 0, 0, 1, -1), none_minus_any = none_any,
  repair_minus_avoidance = -(c(0, 0, 0, 1, -1) - none_any)
)
interval <- function(b, se, df) {
  list(estimate = b, std_error = se, ci_low = b - qt(.975, df) * se, ci_high = b + qt(.975, df) * se,
       p_value = 2 * pt(-abs(b / se), df))
}
hc3 <- lapply(weights, function(w) {
  interval(sum(w * coef(fit)), sqrt(drop(t(w) %*% vcovHC(fit, "HC3") %*% w)), n - length(w))
})
cr2_of <- function(therapist) lapply(weights, function(w) {
  found <- linear_contrast(fit, vcov = "CR2", cluster = therapist, contrasts = matrix(w, 1), test = "Satterthwaite", p_values = TRUE)
  c(interval(found$Est, found$SE, found$df), df = found$df)
})
# Within therapists: a coefficient for each.
inside <- lm(post ~ pre + n_sessions + repaired + unrepaired + factor(therapist))
cr2_within <- lapply(weights[1:3], function(w) {
  found <- linear_contrast(inside, vcov = "CR2", cluster = therapist, contrasts = matrix(c(w, rep(0, 14)), 1), test = "Satterthwaite")
  c(interval(found$Est, found$SE, found$df), df = found$df)
})
few <- sprintf("t%02d", (as.integer(factor(therapist)) - 1) %% 6) # six therapists of unequal size

# Regression standardisation: group x baseline, means over the sample's own covariates.
both <- lm(post ~ (repaired + unrepaired) * pre + n_sessions)
X <- model.matrix(both)
under <- function(r, u) {
  new <- data.frame(repaired = r, unrepaired = u, pre, n_sessions)
  model.matrix(delete.response(terms(both)), new)
}
worlds <- list(none = under(0, 0), repaired = under(1, 0), unrepaired = under(0, 1))
worlds$standardised_repaired_minus_none <- worlds$repaired - worlds$none
worlds$standardised_unrepaired_minus_none <- worlds$unrepaired - worlds$none
worlds$standardised_repaired_minus_unrepaired <- worlds$repaired - worlds$unrepaired
bread <- solve(crossprod(X))
e <- resid(both); h <- hatvalues(both)
standardised_hc3 <- lapply(worlds, function(W) {
  m <- drop(W %*% coef(both)); w <- colMeans(W)
  own <- drop((X * (e / (1 - h))) %*% bread %*% w) + sqrt(n / (n - 1)) * (m - mean(m)) / n
  interval(mean(m), sqrt(sum(own^2)), n - ncol(X))
})
root <- function(M) { s <- eigen(M, symmetric = TRUE); s$vectors %*% (t(s$vectors) / sqrt(s$values)) }
standardised_cr2 <- lapply(worlds, function(W) {
  m <- drop(W %*% coef(both)); w <- colMeans(W)
  G <- length(unique(therapist))
  own <- sapply(split(1:n, therapist), function(i) {
    A <- root(diag(length(i)) - X[i, , drop = FALSE] %*% bread %*% t(X[i, , drop = FALSE]))
    drop(w %*% bread %*% t(X[i, , drop = FALSE]) %*% A %*% e[i]) + sqrt(G / (G - 1)) * sum(m[i] - mean(m)) / n
  })
  df <- linear_contrast(both, vcov = "CR2", cluster = therapist, contrasts = matrix(w, 1), test = "Satterthwaite")$df
  interval(mean(m), sqrt(sum(own^2)), df)
})

# Partial correlation of an ordered share with improvement, given two covariates: residuals of residuals.
share <- round(runif(n) * 4) / 4
improvement <- -post + share
partial <- function(i) cor(resid(lm(share[i] ~ pre[i] + n_sessions[i])), resid(lm(improvement[i] ~ pre[i] + n_sessions[i])))
r <- partial(1:n)
z <- atanh(sapply(unique(therapist), function(t) partial(which(therapist != t))))
G <- length(z); error <- sqrt((G - 1) / G * sum((z - mean(z))^2))
partial_plain <- list(
  r = r, std_error = 1 / sqrt(n - 5), ci_low = tanh(atanh(r) - qnorm(.975) / sqrt(n - 5)),
  ci_high = tanh(atanh(r) + qnorm(.975) / sqrt(n - 5)), p_value = 2 * pt(-abs(r * sqrt((n - 4) / (1 - r^2))), n - 4)
)
partial_clustered <- list(
  r = r, std_error = error, ci_low = tanh(atanh(r) - qt(.975, G - 1) * error), ci_high = tanh(atanh(r) + qt(.975, G - 1) * error),
  p_value = 2 * pt(-abs(atanh(r)) / error, G - 1)
)

# Leaving by state: one row a client-session.
states <- c("none", "in rupture", "after repair", "unrepaired")
rows <- do.call(rbind, lapply(1:160, function(i) {
  t <- 4:20
  state <- states[1 + (runif(1) < .5) * pmin(findInterval(t, sort(sample(5:20, 2))), 2) * sample(c(1, 1.5), 1)]
  left <- rbinom(length(t), 1, plogis(-3.2 + .8 * (state == "in rupture") + .02 * t))
  last <- if (any(left == 1)) which(left == 1)[1] else length(t)
  data.frame(client = sprintf("c%03d", i), therapist_id = sprintf("t%02d", i %% 20), session_number = t, state, pre = round(rnorm(1, 20, 5), 1), left)[1:last, ]
}))
x <- (rows$session_number - mean(rows$session_number)) / sqrt(mean((rows$session_number - mean(rows$session_number))^2))
rows$state <- factor(rows$state, states)
hazard <- glm(left ~ x + I(x^2) + I(x^3) + pre + state, binomial, rows, control = glm.control(epsilon = 1e-14))
V <- vcovCL(hazard, cluster = rows$therapist_id, type = "HC1")
G <- length(unique(rows$therapist_id))
odds <- function(w) {
  b <- sum(w * coef(hazard)); se <- sqrt(drop(t(w) %*% V %*% w))
  list(estimate = exp(b), std_error = se, ci_low = exp(b - qt(.975, G - 1) * se), ci_high = exp(b + qt(.975, G - 1) * se),
       p_value = 2 * pt(-abs(b / se), G - 1))
}
pick <- function(name) as.numeric(names(coef(hazard)) == paste0("state", name))
rows$state <- as.character(rows$state)
write_reference("repair", paste(
  "lm; vcovHC(HC3); linear_contrast(vcov = CR2, test = Satterthwaite); standardisation: predictions under each group, influence functions",
  "written out; cor of residuals, jackknife over therapists; glm(binomial), vcovCL(HC1)"
), list(
  data = data.frame(client = sprintf("c%03d", 1:n), therapist_id = therapist, few, group, pre, post, n_sessions, share, improvement),
  hc3 = hc3, cr2 = cr2_of(therapist), cr2_few = cr2_of(few), cr2_within = cr2_within,
  standardised_hc3 = standardised_hc3, standardised_cr2 = standardised_cr2,
  partial_plain = partial_plain, partial_clustered = partial_clustered,
  sessions = rows,
  leaving = list("in rupture" = odds(pick("in rupture")), "after repair" = odds(pick("after repair")), unrepaired = odds(pick("unrepaired")),
                 "after repair against unrepaired" = odds(pick("after repair") - pick("unrepaired")))
))
