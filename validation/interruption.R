# Interruption of transmission: shares (prop.test, binom.test), Newcombe's difference and difference of differences and the ratio of
# Donner and Zou written out, the saturated logistic model (glm), linear and logistic models with HC3 (sandwich) and CR2 with
# Satterthwaite's degrees of freedom (clubSandwich), and Firth's penalised likelihood by a general optimiser.
source("validation/reference.R")
library(sandwich)
library(clubSandwich)

# ---- Counts: secure of n, by arm, where the parent was insecure and secure.
wilson <- function(x, n) prop.test(x, n, correct = FALSE)$conf.int[1:2]
newcombe <- function(p, ci) { # weights 1 and -1
  d <- p[1] - p[2]
  c(estimate = d, ci_low = d - sqrt((p[1] - ci[1, 1])^2 + (ci[2, 2] - p[2])^2), ci_high = d + sqrt((ci[1, 2] - p[1])^2 + (p[2] - ci[2, 1])^2))
}
mover_ratio <- function(a, b, l1, u1, l2, u2) { # as printed in Donner and Zou (2012)
  c(estimate = a / b,
    ci_low = (a * b - sqrt((a * b)^2 - l1 * u2 * (2 * a - l1) * (2 * b - u2))) / (u2 * (2 * b - u2)),
    ci_high = (a * b + sqrt((a * b)^2 - u1 * l2 * (2 * a - u1) * (2 * b - l2))) / (l2 * (2 * b - l2)))
}
of_counts <- function(secure, n) { # insecure treated, insecure comparison, secure treated, secure comparison
  p <- secure / n
  ci <- t(mapply(wilson, secure, n))
  first <- newcombe(p[1:2], ci[1:2, ])
  second <- newcombe(p[3:4], ci[3:4, ])
  d <- unname(first["estimate"] - second["estimate"])
  low <- d - sqrt((first["estimate"] - first["ci_low"])^2 + (second["ci_high"] - second["estimate"])^2)
  high <- d + sqrt((first["ci_high"] - first["estimate"])^2 + (second["estimate"] - second["ci_low"])^2)
  r <- mover_ratio(1 - p[1], 1 - p[2], 1 - ci[1, 2], 1 - ci[1, 1], 1 - ci[2, 2], 1 - ci[2, 1])
  frame <- data.frame(y = c(secure, n - secure), ok = rep(1:0, each = 4), treated = rep(c(1, 0, 1, 0), 2), insecure = rep(c(1, 1, 0, 0), 2))
  logistic <- summary(glm(ok ~ treated * insecure, binomial, frame, weights = y, control = glm.control(1e-14, 100)))$coefficients
  log_or <- logistic["treated:insecure", ]
  list(
    secure = secure, n = n, shares = list(estimate = p, ci_low = ci[, 1], ci_high = ci[, 2]),
    exact = t(mapply(function(x, k) binom.test(x, k)$conf.int[1:2], secure, n)),
    difference_insecure = as.list(first), difference_secure = as.list(second),
    interaction_risk_difference = list(estimate = d, ci_low = unname(low), ci_high = unname(high)),
    fraction_interrupted = list(estimate = unname(1 - r["estimate"]), ci_low = unname(1 - r["ci_high"]), ci_high = unname(1 - r["ci_low"])),
    number_needed = list(estimate = 1 / unname(first["estimate"]), of_low = 1 / unname(first["ci_low"]), of_high = 1 / unname(first["ci_high"])),
    interaction_odds_ratio = list(estimate = exp(log_or[[1]]), std_error = log_or[[2]],
                                  ci_low = exp(log_or[[1]] - qnorm(.975) * log_or[[2]]), ci_high = exp(log_or[[1]] + qnorm(.975) * log_or[[2]]))
  )
}

# ---- People: families of one or two pairs, a score, and its change.
set.seed(20261122)
families <- 70
family <- rep(seq_len(families), times = 1 + (seq_len(families) %% 3 == 0))
n <- length(family)
arm <- rbinom(families, 1, .5)[family]
insecure <- rbinom(n, 1, .65)
before <- round(rnorm(n, 3.5 + 1.2 * (1 - insecure), 1) * 2) / 2
change <- round(rnorm(n, .2 + .8 * arm, 1) * 2) / 2
latent <- rnorm(families, 0, .7)[family] - .3 + 1.1 * (1 - insecure) + .9 * arm * insecure + .4 * change
child <- rbinom(n, 1, plogis(latent))
data <- data.frame(family, arm, insecure, before, change, child)
t_row <- function(b, se, df) list(estimate = b, std_error = se, df = df, ci_low = b - qt(.975, df) * se, ci_high = b + qt(.975, df) * se,
                                  p_value = 2 * pt(-abs(b / se), df))
cr2 <- function(fit, w) {
  found <- linear_contrast(fit, vcov = "CR2", cluster = family, contrasts = matrix(w, 1), test = "Satterthwaite", p_values = TRUE)
  t_row(found$Est, found$SE, found$df)
}
linear <- lm(child ~ arm * insecure)
logistic <- glm(child ~ arm * insecure, binomial, control = glm.control(1e-14, 100))
functioning <- lm(child ~ change + before + arm + insecure)
functioning_logistic <- glm(child ~ change + before + arm + insecure, binomial, control = glm.control(1e-14, 100))
hc3 <- function(fit) t_row(coef(fit)[["change"]], sqrt(vcovHC(fit, "HC3")["change", "change"]), n - 5)
# CR2 of the working linear model, written out: rows times the root of their weight.
scaled <- function(fit, w) {
  X <- model.matrix(fit); weight <- fitted(fit) * (1 - fitted(fit)); Z <- X * sqrt(weight)
  e <- (child - fitted(fit)) / sqrt(weight)
  M <- solve(crossprod(Z)); P <- diag(n) - Z %*% M %*% t(Z)
  groups <- split(seq_len(n), family)
  root <- lapply(groups, function(i) { s <- eigen(P[i, i, drop = FALSE], symmetric = TRUE); s$vectors %*% diag(s$values^-.5, length(i)) %*% t(s$vectors) })
  own <- sapply(names(groups), function(g) drop(w %*% M %*% t(Z[groups[[g]], , drop = FALSE]) %*% root[[g]] %*% e[groups[[g]]]))
  loads <- sapply(names(groups), function(g) drop(P[, groups[[g]], drop = FALSE] %*% root[[g]] %*% Z[groups[[g]], , drop = FALSE] %*% M %*% w))
  G <- crossprod(loads) # of residuals with equal spread on the scaled rows
  t_row(sum(w * coef(fit)), sqrt(sum(own^2)), sum(diag(G))^2 / sum(G^2))
}

# ---- Separation: nobody in one cell; Firth's likelihood by a general optimiser.
few <- data.frame(arm = rep(c(1, 0, 1, 0), c(6, 7, 5, 8)), insecure = rep(c(1, 1, 0, 0), c(6, 7, 5, 8)), x = round(sin(1:26), 2))
few$child <- c(rep(1, 6), 1, 0, 0, 1, 0, 0, 0, 1, 1, 0, 1, 1, 1, 0, 1, 1, 0, 1, 1, 0)
firth <- function(formula) {
  X <- model.matrix(formula, few)
  minus <- function(b) { p <- plogis(drop(X %*% b)); -sum(log(ifelse(few$child == 1, p, 1 - p))) - .5 * determinant(crossprod(X * sqrt(p * (1 - p))))$modulus[1] }
  b <- rep(0, ncol(X))
  for (i in 1:5) b <- optim(b, minus, method = "BFGS", control = list(reltol = 1e-15, maxit = 10000))$par
  p <- plogis(drop(X %*% b))
  list(coefficients = b, std_errors = sqrt(diag(solve(crossprod(X * sqrt(p * (1 - p)))))))
}

write_reference(
  "interruption",
  "prop.test(correct = FALSE), binom.test, glm(binomial), lm, vcovHC(HC3), linear_contrast(CR2, Satterthwaite); formulas written out",
  list(
    counts = list(trial = of_counts(c(24, 14, 14, 16), c(44, 42, 19, 21)), none = of_counts(c(9, 10, 8, 7), c(20, 22, 10, 11))),
    data = data,
    linear_cr2 = list(interaction = cr2(linear, c(0, 0, 0, 1)), insecure = cr2(linear, c(0, 1, 0, 1)), secure = cr2(linear, c(0, 1, 0, 0))),
    logistic_cr2 = scaled(logistic, c(0, 0, 0, 1)),
    logistic_club_sandwich = cr2(logistic, c(0, 0, 0, 1)),
    functioning_hc3 = hc3(functioning), functioning_cr2 = cr2(functioning, c(0, 1, 0, 0, 0)),
    functioning_logistic_hc3 = hc3(functioning_logistic), sd_change = sd(change),
    few = few, firth_saturated = firth(~ arm * insecure), firth_covariate = firth(~ arm * insecure + x)
  )
)
