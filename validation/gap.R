# Mediation of transmission: standardised paths, indirect paths and their delta-method errors by lavaan (parallel and serial), the
# distribution-free covariance of correlations by lavaan's moments and by simulation, Olkin and Siotani's by simulation, the rho at which
# an indirect path is 0 by residuals of lm, and a path corrected for unreliability by a latent variable with its error fixed.
source("validation/reference.R")
suppressMessages(library(lavaan))

set.seed(20261122)
n <- 150
parent <- rbinom(n, 1, .55)
functioning <- round(3 + 1.2 * parent + rnorm(n, 0, 1.5), 1)
sensitivity <- round(3.5 + .5 * parent + .3 * functioning + rnorm(n), 1)
child <- as.numeric(.5 * parent + .15 * functioning + .2 * sensitivity + rnorm(n) > 2)
data <- data.frame(parent, functioning, sensitivity, child)

# Linear paths of a class, standardised: what lm gives for scaled variables; the errors are those of a normal sample.
labels <- "child ~ direct*parent + b1*functioning + b2*sensitivity\n"
texts <- list(
  parallel = paste0(labels, "functioning ~ a1*parent\nsensitivity ~ a2*parent\nfunctioning ~~ sensitivity\n",
                    "i1 := a1*b1\ni2 := a2*b2\nindirect_total := a1*b1 + a2*b2\ntotal := direct + a1*b1 + a2*b2\n"),
  serial = paste0(labels, "functioning ~ a1*parent\nsensitivity ~ a2*parent + d*functioning\n",
                  "i1 := a1*b1\ni2 := a2*b2\ni12 := a1*d*b2\nindirect_total := a1*b1 + a2*b2 + a1*d*b2\n",
                  "total := direct + a1*b1 + a2*b2 + a1*d*b2\n")
)
solved <- lapply(texts, function(text) {
  s <- standardizedSolution(sem(text, data = data, meanstructure = FALSE, fixed.x = FALSE))
  s <- s[s$label != "", ]
  list(estimate = setNames(as.list(s$est.std), s$label), std_error = setNames(as.list(s$se), s$label))
})

# Residuals given the rest.
partial <- function(x, y, others) cor(resid(lm(reformulate(others, x), data)), resid(lm(reformulate(others, y), data)))
rho_zero <- list(
  functioning = partial("functioning", "child", c("parent", "sensitivity")),
  sensitivity = partial("sensitivity", "child", c("parent", "functioning")),
  all = sqrt((summary(lm(child ~ parent + functioning + sensitivity, data))$r.squared - cor(child, parent)^2) / (1 - cor(child, parent)^2)),
  sensitivity_alone = partial("sensitivity", "child", "parent")
)
# Brute force: the indirect path through sensitivity alone under rho, by maximum likelihood with the errors' covariance fixed.
under <- sapply(c(-.3, .2, .4), function(rho) {
  z <- data.frame(scale(data)) * sqrt(n / (n - 1))
  f <- function(par) {
    # structural: m = a x + e, y = c x + b m + u, cor(e, u) = rho; reduced form is matched exactly
    a <- par[1]; b <- par[2]; c <- par[3]; se <- exp(par[4]); su <- exp(par[5])
    S <- matrix(c(se^2, b * se^2 + rho * se * su, b * se^2 + rho * se * su, b^2 * se^2 + su^2 + 2 * b * rho * se * su), 2)
    T <- crossprod(cbind(z$sensitivity - a * z$parent, z$child - (c + b * a) * z$parent)) / n
    log(det(S)) + sum(diag(solve(S, T)))
  }
  best <- optim(c(.2, .2, .2, 0, 0), f, method = "BFGS", control = list(reltol = 1e-15, maxit = 2000))
  best <- optim(best$par, f, method = "BFGS", control = list(reltol = 1e-16, maxit = 2000))
  best$par[1] * best$par[2]
})

# Natural effects of a class on a class: logistic and linear models, and the mean over normal mediators by numerical integration.
z <- transform(data, functioning = drop(scale(functioning)), sensitivity = drop(scale(sensitivity)))
g <- coef(glm(child ~ parent + functioning + sensitivity, binomial, z, control = glm.control(epsilon = 1e-14, maxit = 100)))
lines <- coef(m <- lm(cbind(functioning, sensitivity) ~ parent, z))
s <- sqrt(drop(t(g[3:4]) %*% (crossprod(resid(m)) / n) %*% g[3:4]))
mu <- function(a, b) integrate(function(e) plogis(g[1] + g[2] * a + sum(g[3:4] * (lines[1, ] + lines[2, ] * b)) + s * e) * dnorm(e),
                               -Inf, Inf, rel.tol = 1e-10)$value
natural <- list(total = mu(1, 1) - mu(0, 0), indirect_total = mu(1, 1) - mu(1, 0), gap = mu(1, 0) - mu(0, 0))

# A mediator measured with reliability .8: its latent variable with the error variance fixed, on the correlation metric.
R <- cor(data)
latent <- sem("true =~ 1*functioning
functioning ~~ 0.2*functioning
true ~ a*parent
child ~ b*true + parent
i := a*b", sample.cov = R, sample.nobs = n, sample.cov.rescale = FALSE)
s <- standardizedSolution(latent)
corrected <- list(indirect = s$est.std[s$label == "i"], gap = s$est.std[s$lhs == "child" & s$rhs == "parent"])

# Distribution-free covariance of correlations: lavaan's moments (NACOV of the covariances) by the delta method.
gamma <- lavTech(sem(texts$parallel, data = data, meanstructure = FALSE, estimator = "WLS"), "gamma")[[1]]
names_model <- lavNames(sem(texts$parallel, data = data, meanstructure = FALSE), "ov")
S <- cov(data[, names_model]) * (n - 1) / n
pick <- which(lower.tri(S, diag = TRUE), arr.ind = TRUE)
off <- which(lower.tri(S), arr.ind = TRUE)
J <- t(apply(off, 1, function(ij) {
  i <- ij[1]; j <- ij[2]; r <- S[i, j] / sqrt(S[i, i] * S[j, j])
  apply(pick, 1, function(kl) {
    if (all(sort(kl) == sort(ij))) 1 / sqrt(S[i, i] * S[j, j])
    else if (kl[1] == kl[2] && kl[1] %in% ij) -r / 2 / S[kl[1], kl[1]] else 0
  })
}))
V <- J %*% gamma %*% t(J) / n
free <- list(pairs = lapply(seq_len(nrow(off)), function(k) names_model[off[k, ]]), covariance = V)

# Olkin and Siotani by simulation: 60,000 samples of 400 from the correlations of this sample.
L <- chol(R)
set.seed(20261123)
size <- 400
many <- t(replicate(60000, {
  x <- matrix(rnorm(size * 4), size) %*% L
  r <- cor(x)
  r[upper.tri(r)][c(1, 2, 4, 3, 5, 6)] # row by row
}))
simulated <- cov(many) * size

write_reference(
  "gap",
  call = "lavaan::sem and standardizedSolution; lm residuals; glm, lm and integrate; optim; cov of simulated correlations",
  values = list(
    data = data, parallel = solved$parallel, serial = solved$serial, rho_zero = rho_zero,
    under = list(rho = c(-.3, .2, .4), indirect = under), corrected = corrected, natural = natural, correlations = unname(R), free = free,
    simulated = simulated
  ),
  digits = 12
)
