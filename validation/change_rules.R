# Reference values for the further rules of individual change, norms and slopes: formulas written out, lme4 and psych.
source("validation/reference.R")
suppressPackageStartupMessages({
  library(lme4)
  library(psych)
})
RNGversion("4.2.0")
set.seed(20261122)

# ---- Rules for scores before and after, and cutoffs on true scores. Higher is worse.
pre <- c(31, 25, 18, 40, 22, 29, 35, 27, 16, 33, 38, 24)
post <- c(20, 24, 19, 22, 10, 30, 33, 12, 17, 21, 36, 9)
control_pre <- c(28, 33, 21, 37, 30, 25, 19, 34, 29, 40, 26, 23, 31, 35)
control_post <- c(27, 30, 24, 35, 31, 22, 20, 35, 25, 36, 28, 21, 33, 31)
r <- .86; r2 <- .9
s1 <- sd(pre); s2 <- sd(post); m1 <- mean(pre); m2 <- mean(post)
se <- s1 * sqrt(1 - r)
line <- lm(control_post ~ control_pre)
srb <- (post - predict(line, data.frame(control_pre = pre))) / summary(line)$sigma
icc <- ICC(data.frame(control_pre, control_post), lmer = FALSE)
ms <- anova(lm(y ~ person + time, data.frame(
  y = c(control_pre, control_post), person = factor(rep(seq_along(control_pre), 2)),
  time = factor(rep(1:2, each = length(control_pre)))
)))
ms_error <- ms["Residuals", "Mean Sq"]
pooled <- sqrt((var(control_pre) + var(control_post)) / 2)
consistency <- icc$results["Single_fixed_raters", "ICC"]
agreement <- icc$results["Single_random_raters", "ICC"]
rules <- list(
  pre = pre, post = post, control_pre = control_pre, control_post = control_post, reliability = r, reliability_post = r2,
  CM = (post - pre) / sd(post - pre),
  SRB = unname(srb),
  `two-SEM` = (post - pre) / sqrt(s1^2 * (1 - r) + s2^2 * (1 - r2)),
  `two-SEM control` = (post - pre) / sqrt(s1^2 * (1 - r) + var(control_post) * (1 - r2)),
  `SDC ICC` = (post - pre) / (sqrt(2) * pooled * sqrt(1 - agreement)),
  `SDC MS` = (post - pre) / sqrt(2 * ms_error),
  intercept = unname(coef(line)[1]), slope = unname(coef(line)[2]), see = summary(line)$sigma,
  icc_agreement = agreement, icc_consistency = consistency, ms_error = ms_error, retest_sd = pooled,
  sdc = qnorm(.975) * sqrt(2) * sqrt(ms_error), sdc_group = qnorm(.975) * sqrt(2 * ms_error / 12)
)

# ---- Hageman and Arrindell: cutoffs on true scores, the end score's test, group level. Functional norm 12 (5).
m0 <- 12; s0 <- 5
true <- function(s) sqrt(s^2 - se^2)
cut <- c(a = m1 - 2 * true(s1), b = m0 + 2 * true(s0), c = (true(s1) * m0 + true(s0) * m1) / (true(s1) + true(s0)))
post_r <- (s2^2 - se^2) / s2^2
dd <- (s1^2 - se^2 + s2^2 - se^2 - 2 * s1 * s2 * cor(pre, post)) / var(post - pre)
hageman <- list(
  functional = c(m0, s0), a_true = cut[["a"]], b_true = cut[["b"]], c_true = cut[["c"]],
  cs_individual = (m2 + (post - m2) * post_r - cut[["c"]]) / (sqrt(post_r) * se),
  changed = pnorm(-(m2 - m1) / (sd(post - pre) * sqrt(dd))),
  functional_share = pnorm(-(m2 - cut[["c"]]) / (s2 * sqrt(post_r)))
)

# ---- Group anchor: the interval of the mean change.
interval <- t.test(post, pre, paired = TRUE)$conf.int[1:2]

# ---- Slopes: lme4 at a tight optimum; the joint error from Henderson's equations, dense.
people <- 24
rows <- do.call(rbind, lapply(seq_len(people), function(i) {
  week <- sort(sample(0:12, sample(3:6, 1)))
  b <- c(rnorm(1, 0, 4), rnorm(1, 0, .5))
  data.frame(person = i, week = week, score = round(22 + b[1] + (-.4 + b[2]) * week + rnorm(length(week), 0, 2.5), 1))
}))
rows$time <- rows$week / 10  # keeps the search well scaled
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-12, maxfun = 1e5), calc.derivs = FALSE)
fit <- lmer(score ~ time + (time | person), rows, control = tight)
random <- ranef(fit, condVar = TRUE)$person
conditional <- sqrt(attr(random, "postVar")[2, 2, ]) / 10
x <- model.matrix(fit)
z <- as.matrix(getME(fit, "Z"))
g <- kronecker(diag(people), as.matrix(VarCorr(fit)$person))
s <- sigma(fit)^2
equations <- solve(rbind(cbind(t(x) %*% x / s, t(x) %*% z / s), cbind(t(z) %*% x / s, t(z) %*% z / s + solve(g))))
joint <- vapply(seq_len(people), function(i) {
  k <- 2 + 2 * i
  sqrt(equations[2, 2] + equations[k, k] + 2 * equations[2, k]) / 10
}, 0)
slopes <- list(
  rows = rows[c("person", "week", "score")], slope = (fixef(fit)[["time"]] + random$time) / 10, std_error = joint,
  deviation = random$time / 10, deviation_std_error = conditional,
  sum_of_variances = sqrt((conditional * 10)^2 + vcov(fit)[2, 2]) / 10
)

write_reference(
  "change_rules", "formulas; lm; psych::ICC(lmer = FALSE); t.test; lme4::lmer(score ~ time + (time | person)) and ranef(condVar = TRUE)",
  list(rules = rules, hageman = hageman, interval = interval, slopes = slopes), digits = 12
)
