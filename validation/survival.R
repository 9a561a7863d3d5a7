# Curves, restricted means, tests and interval censoring by the R package survival.
source("validation/reference.R")
library(survival)
options(digits = 15)

set.seed(20260401)
n <- 90
time <- ceiling(8 * rexp(n, 0.12)) / 4 + 0.25
cause <- sample(0:2, n, replace = TRUE, prob = c(.3, .45, .25))
group <- sample(c("a", "b", "c"), n, replace = TRUE)
therapist <- sample(sprintf("t%02d", 1:12), n, replace = TRUE)
event <- as.integer(cause == 1)
data <- data.frame(time, cause, event, group, therapist)

fit <- survfit(Surv(time, event) ~ 1, data, conf.type = "log-log")
robust <- survfit(Surv(time, event) ~ 1, data, conf.type = "log-log", cluster = therapist)
km <- list(
  time = fit$time, n_at_risk = fit$n.risk, n_event = fit$n.event, survival = fit$surv, std_error = summary(fit, fit$time)$std.err,
  ci_low = fit$lower, ci_high = fit$upper, robust_se = summary(robust, fit$time)$std.err
)
horizon <- 20
area <- function(f) { s <- summary(f, rmean = horizon)$table; unname(c(s[["rmean"]], s[["se(rmean)"]])) }
means <- list(horizon = horizon, all = area(fit))
for (g in c("a", "b", "c")) means[[g]] <- area(survfit(Surv(time, event) ~ 1, data[data$group == g, ]))

status <- factor(data$cause, 0:2, c("censored", "improved", "left"))
many <- survfit(Surv(time, status) ~ 1, data, id = seq_len(n), conf.type = "log-log")
# survfit 3.5-3 takes no notice of clusters here, so the influence of a therapist is the derivative with respect to its weight.
move <- function(sign, who) {
  w <- ifelse(data$therapist == who, 1 + sign * 1e-4, 1)
  survfit(Surv(time, status) ~ 1, data, id = seq_len(n), weights = w)$pstate
}
moved <- lapply(sort(unique(therapist)), function(who) (move(1, who) - move(-1, who)) / 2e-4)
clustered <- sqrt(Reduce(`+`, lapply(moved, function(x) x^2)))
competing <- list(time = many$time)
for (k in 1:2) competing[[c("improved", "left")[k]]] <- list(
  estimate = many$pstate[, k + 1], std_error = many$std.err[, k + 1], ci_low = many$lower[, k + 1], ci_high = many$upper[, k + 1],
  clustered_se = clustered[, k + 1]
)

test <- survdiff(Surv(time, event) ~ group, data)
ab <- data[data$group != "c", ]
cox <- coxph(Surv(time, event) ~ I(group == "b"), ab, ties = "breslow", cluster = therapist)
log_rank <- list(
  statistic = test$chisq, p_value = pchisq(test$chisq, 2, lower.tail = FALSE), observed = test$obs, expected = test$exp,
  robust_two_groups = unname(cox$rscore), clusters_two_groups = length(unique(ab$therapist))
)

# Interval censoring: mass on the innermost intervals, told by the share with the event where it is unique (at their right ends).
npmle <- function(left, right) {
  fit <- survfit(Surv(left, ifelse(is.infinite(right), NA, right), type = "interval2") ~ 1)
  list(time = fit$time, survival = fit$surv) # its EM stops at four to five digits
}
m <- 120
truth <- rexp(m, 0.08)
visits <- c(0, 4, 8, 16, 26, 52)
seen <- matrix(runif(m * length(visits)) < .8, m); seen[, 1] <- TRUE
left <- right <- numeric(m)
for (i in seq_len(m)) {
  v <- visits[seen[i, ]]
  left[i] <- max(v[v < truth[i]])
  right[i] <- if (any(v >= truth[i])) min(v[v >= truth[i]]) else Inf
}
own <- sort(runif(40, 0, 30)); own_left <- pmax(0, own - runif(40, 0, 8)); own_right <- ifelse(runif(40) < .25, Inf, own + runif(40, 0, 8))

# The definition, maximised by a general optimiser over the distinct visit times: the log likelihood of the best distribution.
definition <- function(left, right) {
  ends <- sort(unique(c(left, right[is.finite(right)], Inf)))
  cells <- cbind(head(ends, -1), tail(ends, -1))
  a <- outer(left, cells[, 1], "<=") & outer(right, cells[, 2], ">=")
  p <- rep(1 / nrow(cells), nrow(cells))
  for (i in 1:2e5) {
    new <- p * colMeans(a / as.vector(a %*% p))
    if (max(abs(new - p)) < 1e-16) break
    p <- new
  }
  list(log_likelihood = sum(log(a %*% p)), left = cells[, 1], right = cells[, 2], mass = p)
}
waves <- definition(left, right)
write_reference(
  "survival",
  "survival::survfit, survdiff, coxph; EM of the definition on all cells between visit times",
  list(
    data = data, km = km, restricted_mean = means, competing = competing, log_rank = log_rank,
    turnbull = list(
      left = left, right = ifelse(is.infinite(right), -1, right), survfit = npmle(left, right),
      log_likelihood = waves$log_likelihood, cell_left = waves$left, cell_right = ifelse(is.infinite(waves$right), -1, waves$right),
      cell_mass = waves$mass
    ),
    turnbull_own = list(
      left = own_left, right = ifelse(is.infinite(own_right), -1, own_right),
      log_likelihood = definition(own_left, own_right)$log_likelihood
    )
  ),
  digits = 12
)
