# Reference values for growth curves: five shapes with therapists as a level, two arms, and the interval of a therapist share.
source("validation/reference.R")
suppressPackageStartupMessages({
  library(lmerTest)
  library(splines)
})

set.seed(20260412)
therapists <- 14
waves <- c(0, 6, 14, 26, 52)
sizes <- 4 + (seq_len(therapists) * 5) %% 7
client_of <- rep(seq_len(therapists), sizes)
n <- length(client_of)
chol_therapist <- chol(matrix(c(9, -.09, -.09, .0064), 2))
chol_client <- chol(matrix(c(16, -.12, -.12, .01), 2))
w <- matrix(rnorm(2 * therapists), therapists) %*% chol_therapist
u <- matrix(rnorm(2 * n), n) %*% chol_client
arm <- (seq_len(n) * 3) %% 2
end_of <- 12 + 2 * ((seq_len(n) * 7) %% 6)
data <- expand.grid(wave = seq_along(waves), client = seq_len(n))
data$time <- waves[data$wave]
data$therapist <- client_of[data$client]
data$arm <- arm[data$client]
data$end <- end_of[data$client]
data$value <- round(
  20 - 6 * (1 - exp(-data$time / 12)) + w[data$therapist, 1] + u[data$client, 1] +
    (w[data$therapist, 2] + u[data$client, 2] - .03 * data$arm) * data$time + rnorm(nrow(data), 0, 1.5), 3
)
data <- data[!(data$wave > 1 & (data$client * 11 + data$wave * 5) %% 9 == 0), ]
data <- data[!(data$wave >= 4 & data$client %% 5 == 0), ]
rownames(data) <- NULL

knots <- waves[1 + round(seq(0, length(waves) - 1, length.out = 4))]
# Columns of a shape in units near 1, so that lme4's search is not led astray; contrasts do not depend on units.
bases <- list(
  linear = function(t, k) cbind(t / 10),
  log = function(t, k) cbind(log(t + 1)),
  quadratic = function(t, k) cbind(t / 10, (t / 10)^2),
  piecewise = function(t, k) cbind(pmin(t, k) / 10, pmax(t - k, 0) / 10),
  spline = function(t, k) cbind(t / 10, ns(t, knots = knots[2:3], Boundary.knots = knots[c(1, 4)])[, 1:2])
)
slope_unit <- c(linear = 10, log = 1, quadratic = 10, piecewise = 10, spline = 10)
control <- lmerControl(
  optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5), check.conv.grad = .makeCC("ignore", 1, NULL),
  check.conv.hess = .makeCC("ignore", 1, NULL)
)
fit_once <- function(rows, names, reml) {
  formula <- as.formula(paste("value ~", paste(names, collapse = " + "), "+ (1 + c1 | client) + (1 + c1 | therapist)"))
  first <- lmer(formula, rows, REML = reml, control = control)
  lmer(formula, rows, REML = reml, control = control, start = getME(first, "theta"))
}
middle <- median(data$end)
interval <- function(fit, l) {
  found <- contest1D(fit, l, confint = TRUE)
  list(
    estimate = found$Estimate, se = found$`Std. Error`, df = found$df, low = found$lower, high = found$upper,
    p = found$`Pr(>|t|)`
  )
}
shape <- function(name) {
  basis <- bases[[name]]
  x <- basis(data$time, data$end)
  names <- paste0("c", seq_len(ncol(x)))
  rows <- cbind(data, setNames(as.data.frame(x), names))
  fit <- fit_once(rows, names, TRUE)
  ml <- fit_once(rows, names, FALSE)
  points <- cbind(1, basis(waves, rep(middle, length(waves))))
  v <- as.data.frame(VarCorr(fit))
  sd_of <- function(g, a) v$sdcor[v$grp == g & v$var1 %in% a & is.na(v$var2)]
  list(
    change = interval(fit, points[5, ] - points[1, ]),
    predicted = as.vector(points %*% fixef(fit)),
    predicted_low = sapply(seq_along(waves), function(i) interval(fit, points[i, ])$low),
    sd_intercept = sd_of("client", "(Intercept)"), sd_slope = sd_of("client", "c1") / slope_unit[[name]],
    therapist_sd_intercept = sd_of("therapist", "(Intercept)"), therapist_sd_slope = sd_of("therapist", "c1") / slope_unit[[name]],
    residual = sigma(fit), loglik = as.numeric(logLik(fit)), singular = isSingular(fit), aic = AIC(ml), bic = BIC(ml)
  )
}
shapes <- lapply(setNames(nm = names(bases)), shape)

# Two arms, straight lines.
rows <- transform(data, c1 = time / 10, a = arm, b = arm * time / 10)
arms <- fit_once(rows, c("c1", "a", "b"), TRUE)
first <- data[data$wave == 1, ]
pooled <- function(x, g) sqrt(sum((length(x[g == 0]) - 1) * var(x[g == 0]) + (sum(g == 1) - 1) * var(x[g == 1])) / (length(x) - 2))
two <- list(
  difference = interval(arms, c(0, 0, 0, 5.2)), of_first = interval(arms, c(0, 5.2, 0, 0)), of_second = interval(arms, c(0, 5.2, 0, 5.2)),
  sd = pooled(first$value, first$arm)
)

# Therapists' modes of the straight line.
straight <- fit_once(transform(data, c1 = time / 10), "c1", TRUE)
modes <- ranef(straight, condVar = TRUE)$therapist
spread <- attr(modes, "postVar")
caterpillar <- list(
  intercept = modes[[1]], intercept_se = sqrt(spread[1, 1, ]), slope = modes[[2]] / 10, slope_se = sqrt(spread[2, 2, ]) / 10
)

# Intervals of variance ratios by the F test, with the covariances as dense matrices: Harville & Fenech (1985).
left <- function(y, x, v) {
  root <- chol(v)
  residual <- qr.resid(qr(backsolve(root, x, transpose = TRUE), tol = 1e-9), backsolve(root, y, transpose = TRUE))
  sum(residual^2)
}
ratio <- function(y, x, z, v0, beside = NULL) {
  x <- cbind(x, beside)
  root <- chol(v0)
  rank_of <- function(m) qr(backsolve(root, m, transpose = TRUE), tol = 1e-9)$rank
  all <- rank_of(cbind(x, z))
  r <- all - rank_of(x)
  f <- length(y) - all
  error <- left(y, cbind(x, z), v0)
  statistic <- function(g) (left(y, x, v0 + g * tcrossprod(z)) - error) / r / (error / f)
  solve_for <- function(p) {
    target <- qf(p, r, f)
    if (statistic(0) <= target) 0 else uniroot(function(g) statistic(g) - target, c(0, 1e4), tol = 1e-13)$root
  }
  list(r = r, f = f, statistic = statistic(0), p = pf(statistic(0), r, f, lower.tail = FALSE), low = solve_for(.975), high = solve_for(.025))
}
ends <- merge(first[c("client", "therapist", "value")], data[data$wave == 4, c("client", "value")], by = "client", suffixes = c("_pre", "_post"))
z_of <- function(t) outer(t, sort(unique(t)), "==") * 1
theta <- getME(straight, "theta")
of_client <- VarCorr(straight)$client / sigma(straight)^2
person <- z_of(data$client)
people <- cbind(person, person * data$time / 10)
v0 <- diag(nrow(data)) + people %*% kronecker(of_client, diag(ncol(person))) %*% t(people)
therapist <- z_of(data$therapist)
x <- cbind(1, data$time / 10)
ratios <- list(
  end_score = ratio(ends$value_post, cbind(1, ends$value_pre), z_of(ends$therapist), diag(nrow(ends))),
  level = ratio(data$value, x, therapist, v0, therapist * data$time / 10),
  slope = ratio(data$value, x, therapist * data$time / 10, v0, therapist),
  level_alone = ratio(data$value, x, therapist, v0),
  none = ratio((seq_len(nrow(ends)) * 17) %% 23, cbind(rep(1, nrow(ends))), z_of(ends$therapist), diag(nrow(ends)))
)
of_client <- unname(as.matrix(of_client))
relative <- diag(c(1, .1)) %*% of_client[1:2, 1:2] %*% diag(c(1, .1))
adjusted <- lmer(value_post ~ value_pre + (1 | therapist), ends, control = control)
adjusted_v <- as.data.frame(VarCorr(adjusted))$vcov

write_reference(
  "growth", "lme4::lmer and lmerTest::contest1D; F tests of variance ratios by dense matrices",
  list(
    data = data, shapes = shapes, arms = two, modes = caterpillar, ratios = ratios, relative = relative, ends = ends,
    share_end_adjusted = adjusted_v[1] / sum(adjusted_v)
  ),
  digits = 9
)
