# Reference values for logistic mixed models.
#
# glmer's optimiser and inner iterations are tightened. Its deviance still takes the weights of the last step but one, so that with
# two levels its log likelihood is off by 5e-6 (1.1-31; a smaller tolPwrss makes it fail), and its standard errors are from simple
# differences (1e-4). Stored are therefore both glmer's own numbers and, as "fixed", "se", "sd" and "loglik", the optimum of Laplace's
# approximation written out here with dense matrices (of glmer's own deviance for nAGQ = 9), found from there by Newton steps
# with Richardson differences (numDeriv). The likelihood of two levels is also integrated by brute force, on a grid.
source("validation/reference.R")
suppressPackageStartupMessages({
  library(lme4)
  library(numDeriv)
})

tight <- glmerControl(
  optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9, maxfun = 1e5), tolPwrss = 1e-13, check.conv.singular = "ignore",
  check.conv.grad = "ignore", check.conv.hess = "ignore"
)

# theta (sd in the order of glmer's terms) and beta at the minimum of a deviance function, and the inverse of its Hessian
polished <- function(deviance, start, zero) {
  free <- which(!zero)
  of_free <- function(v) {
    at <- start
    at[free] <- v
    deviance(at)
  }
  at <- start[free]
  for (i in 1:3) at <- at - solve(hessian(of_free, at), grad(of_free, at))
  list(at = replace(start, free, at), free = free, covariance = 2 * solve(hessian(of_free, at)), loglik = -of_free(at) / 2)
}

# Minus twice Laplace's log likelihood by its definition
laplace <- function(fit) {
  x <- getME(fit, "X")
  y <- getME(fit, "y")
  z <- t(as.matrix(getME(fit, "Zt")))
  level <- rep(seq_along(getME(fit, "theta")), diff(getME(fit, "Gp")))
  function(parameters) {
    theta <- parameters[seq_along(getME(fit, "theta"))]
    scaled <- sweep(z, 2, theta[level], "*")
    fixed <- as.numeric(x %*% parameters[-seq_along(theta)])
    u <- rep(0, ncol(z))
    repeat {
      eta <- fixed + as.numeric(scaled %*% u)
      p <- plogis(eta)
      information <- diag(length(u)) + crossprod(scaled * sqrt(p * (1 - p)))
      gradient <- crossprod(scaled, y - p) - u
      if (max(abs(gradient)) < 1e-11) break
      u <- u + as.numeric(solve(information, gradient))
    }
    log_p <- sum(plogis(ifelse(y == 1, eta, -eta), log.p = TRUE))
    -2 * log_p + sum(u^2) + as.numeric(determinant(information)$modulus)
  }
}

told <- function(formula, data, points = 1) {
  fit <- glmer(formula, data, family = binomial, nAGQ = points, control = tight)
  deviance <- if (points == 1) laplace(fit) else update(fit, devFunOnly = TRUE)
  theta <- getME(fit, "theta")
  start <- c(theta, fixef(fit))
  zero <- seq_along(start) <= length(theta) & abs(start) < 1e-4
  start[zero] <- 0
  best <- polished(function(v) deviance(unname(v)), start, zero)
  se <- replace(rep(0, length(start)), best$free, sqrt(diag(best$covariance)))
  modes <- ranef(fit, condVar = TRUE)
  fixed <- -seq_along(theta)
  list(
    terms = names(fixef(fit)), fixed = unname(best$at[fixed]), se = unname(se[fixed]), groups = names(getME(fit, "flist")),
    sd = unname(best$at[seq_along(theta)]), sd_se = unname(se[seq_along(theta)]), loglik = best$loglik,
    glmer = list(
      loglik = as.numeric(logLik(fit)), sd = unname(theta), se = unname(sqrt(diag(as.matrix(vcov(fit))))), fixed = unname(fixef(fit))
    ),
    modes = lapply(modes, function(m) {
      list(unit = rownames(m), estimate = m[[1]], se = sqrt(as.numeric(attr(m, "postVar"))))
    })
  )
}

# Log likelihood of clients in therapists, both integrals as sums over an even grid (exact to rounding for such integrands)
brute <- function(formula, data, parameters) {
  x <- model.matrix(formula, data)
  y <- data$repaired
  grid <- seq(-8, 8, length.out = 81)
  weight <- dnorm(grid) * (grid[2] - grid[1])
  eta <- as.numeric(x %*% parameters[-(1:2)])
  by_client <- split(seq_along(y), data$person_id)
  therapist <- tapply(data$therapist_id, data$person_id, function(v) v[1])
  inner <- t(vapply(by_client, function(rows) {
    log_p <- matrix(0, length(grid), length(grid)) # client's u along rows, therapist's along columns
    for (i in rows) {
      shift <- eta[i] + outer(parameters[1] * grid, parameters[2] * grid, "+")
      log_p <- log_p + plogis(if (y[i] == 1) shift else -shift, log.p = TRUE)
    }
    log(colSums(weight * exp(log_p)))
  }, numeric(length(grid))))
  sum(log(as.numeric(exp(rowsum(inner, therapist)) %*% weight)))
}

set.seed(20240229)
n_therapists <- 24
n_clients <- 120
therapist <- c(1:n_therapists, sample(n_therapists, n_clients - n_therapists, replace = TRUE))
arm <- sample(c("a", "b"), n_clients, replace = TRUE)
sessions <- sample(3:8, n_clients, replace = TRUE)
client <- rep(seq_len(n_clients), sessions)
data <- data.frame(
  person_id = client, therapist_id = 100 + therapist[client], site_id = 1 + therapist[client] %% 6,
  week = unlist(lapply(sessions, seq_len)) - 1, arm = arm[client]
)
between <- rnorm(n_clients)[client] + 0.8 * rnorm(n_therapists)[therapist[client]] + 0.9 * rnorm(6)[data$site_id]
data$repaired <- rbinom(nrow(data), 1, plogis(-0.4 + 0.15 * data$week + 0.6 * (data$arm == "b") + between))
data$week[c(5, 77, 301)] <- NA
data <- data[sample(nrow(data)), ]
set.seed(8) # a draw in which the therapists' shares differ by less than chance brings
data$alone <- rbinom(nrow(data), 1, plogis(0.3 + 1.2 * rnorm(n_clients)[data$person_id]))
complete <- data[!is.na(data$week), ]

two <- repaired ~ week + arm + (1 | person_id) + (1 | therapist_id)
two_levels <- told(two, complete)
start <- c(two_levels$sd, two_levels$fixed)
exact <- polished(function(v) -2 * brute(~ week + arm, complete, v), start, rep(FALSE, length(start)))

data("cbpp")
rows <- cbpp[rep(seq_len(nrow(cbpp)), cbpp$size), c("herd", "period")]
rows$ill <- unlist(Map(function(ill, size) rep(c(1, 0), c(ill, size - ill)), cbpp$incidence, cbpp$size))

calls <- "lme4::glmer(binomial, nAGQ = 1 | 9), bobyqa rhoend 1e-9, tolPwrss 1e-13, polished by numDeriv; see the script"
write_reference("logistic_mixed", calls, list(
  data = data,
  cbpp = list(
    data = list(
      herd = as.character(cbpp$herd), period = as.character(cbpp$period), incidence = cbpp$incidence, size = cbpp$size
    ),
    laplace = told(ill ~ period + (1 | herd), rows), points9 = told(ill ~ period + (1 | herd), rows, 9)
  ),
  one_level = told(repaired ~ week + arm + (1 | person_id), complete),
  one_level_points9 = told(repaired ~ week + arm + (1 | person_id), complete, 9),
  two_levels = two_levels,
  three_levels = told(repaired ~ week + arm + (1 | person_id) + (1 | therapist_id) + (1 | site_id), complete),
  boundary = told(alone ~ week + (1 | person_id) + (1 | therapist_id), complete),
  exact = list(
    at = start, loglik_there = brute(~ week + arm, complete, start), sd = exact$at[1:2], fixed = exact$at[-(1:2)],
    se = sqrt(diag(exact$covariance))[-(1:2)], loglik = exact$loglik
  )
), digits = 12)
