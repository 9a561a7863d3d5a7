# Reference values for change and for the regression and mixed models behind it.
source("validation/reference.R")
suppressPackageStartupMessages({
  library(lme4)
  library(lmerTest)
  library(metafor)
  library(splines)
})
RNGversion("4.2.0")
set.seed(20240607)

# ---- Reliable change, formulas written out (Jacobson & Truax, 1991; Hsu, 1989; Speer, 1992; Nunnally & Kotsch, 1983;
# Hageman & Arrindell, 1999), on whole numbers.
pre <- c(31, 25, 18, 40, 22, 29, 35, 27, 16, 33, 38, 24)
post <- c(20, 24, 19, 22, 10, 30, 33, 12, 17, 21, 36, 9)
r <- .86; r2 <- .9; control <- 27
m1 <- mean(pre); s1 <- sd(pre); m2 <- mean(post); s2 <- sd(post); r12 <- cor(pre, post)
se <- s1 * sqrt(1 - r)
dd <- (s1^2 * r + s2^2 * (s2^2 - se^2) / s2^2 - 2 * s1 * s2 * r12) / (s1^2 + s2^2 - 2 * s1 * s2 * r12)
reliable <- list(
  pre = pre, post = post, reliability = r, reliability_post = r2, control_post_mean = control,
  JT = (post - pre) / sqrt(2 * se^2),
  GLN = ((post - m1) - r * (pre - m1)) / (s1 * sqrt(1 - r^2)),
  HLL = ((post - control) - r * (pre - m1)) / (s1 * sqrt(1 - r^2)),
  EN = (post - (r * (pre - m1) + m1)) / se,
  NK = (post - (r * (pre - m1) + m1)) / sqrt(r^2 * s1^2 * (1 - r) + s1^2 * (1 - r2)),
  `NK post SD` = (post - (r * (pre - m1) + m1)) / sqrt(r^2 * s1^2 * (1 - r) + s2^2 * (1 - r2)),
  HA = ((post - pre) * dd + (m2 - m1) * (1 - dd)) / (sqrt(dd) * sqrt(2 * se^2))
)

# ---- Mean and standardised change, and shares, with and without clusters.
therapist <- c(1, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4, 4)
n <- length(pre)
change <- post - pre
d <- mean(change) / s1
u <- (change - mean(change)) / s1 - d / 2 * ((pre - m1)^2 / s1^2 - mean((pre - m1)^2) / s1^2)
cr <- function(u, g) {
  sums <- tapply(u, g, sum)
  k <- length(sums)
  sqrt(k / (k - 1) * sum(sums^2)) / length(u)
}
bonett <- escalc("SMCRH", m1i = m2, m2i = m1, sd1i = s1, sd2i = s2, ri = r12, ni = n)  # sd1i standardises
paired <- t.test(post, pre, paired = TRUE)
half <- function(x, se, df) as.numeric(x) + c(-1, 1) * qt(.975, df) * se
event <- c(1, 1, 1, 0, 0, 0, 0, 0, 1, 1, 1, 0)
p <- mean(event)
deff <- max(1, cr(event - p, therapist)^2 / (p * (1 - p) / n))
neff <- n / deff * (qnorm(.975) / qt(.975, 3))^2  # four clusters
wilson <- function(p, n) {
  z <- qnorm(.975)
  (p + z^2 / (2 * n) + c(-1, 1) * z * sqrt(p * (1 - p) / n + z^2 / (4 * n^2))) / (1 + z^2 / n)
}
effects <- list(
  therapist = therapist, mean_change = unname(paired$estimate), mean_change_ci = paired$conf.int[1:2],
  mean_change_p = paired$p.value, mean_change_cluster_se = cr(change - mean(change), therapist),
  mean_change_cluster_ci = half(mean(change), cr(change - mean(change), therapist), 3),
  d = d, d_se = cr(u, seq_len(n)), d_ci = half(d, cr(u, seq_len(n)), n - 1), d_cluster_se = cr(u, therapist),
  metafor_smcrh_se = sqrt(as.numeric(bonett$vi)),
  event = event, share_ci = wilson(p, n), share_cluster_ci = wilson(p, max(neff, 1)), design_effect = deff
)

# ---- Least squares and logistic regression with robust covariance, written out.
m <- 60
x <- round(rnorm(m), 3)
group <- rep(c("none", "repaired", "unrepaired"), length.out = m)
cluster <- rep(1:12, each = 5)
y <- round(.5 * x + c(none = 0, repaired = .4, unrepaired = -.3)[group] + rep(rnorm(12, sd = .5), each = 5) + rnorm(m), 3)
fit <- lm(y ~ x + group)
X <- model.matrix(fit); e <- resid(fit); k <- ncol(X)
bread <- solve(crossprod(X))
hc3 <- bread %*% crossprod(X * (e / (1 - hatvalues(fit)))) %*% bread
meat <- crossprod(rowsum(X * e, cluster))
cr1 <- (12 / 11) * ((m - 1) / (m - k)) * bread %*% meat %*% bread
contrast <- function(b, V, w, df, name) {
  est <- sum(w * b); s <- sqrt(drop(t(w) %*% V %*% w))
  list(name = name, estimate = est, std_error = s, ci = est + c(-1, 1) * qt(.975, df) * s, p = 2 * pt(-abs(est / s), df))
}
good <- as.numeric(y > .1)
logit <- glm(good ~ x + group, family = binomial, control = glm.control(epsilon = 1e-14))
mu <- fitted(logit); score <- X * (good - mu)
bread_l <- solve(crossprod(X * sqrt(mu * (1 - mu))))
hc0 <- bread_l %*% crossprod(score) %*% bread_l
cr1_l <- (12 / 11) * ((m - 1) / (m - k)) * bread_l %*% crossprod(rowsum(score, cluster)) %*% bread_l
w <- c(0, 0, 1, -1)
regression <- list(
  data = list(x = x, group = group, cluster = cluster, y = y, good = good),
  hc3 = contrast(coef(fit), hc3, w, m - k, "repaired - unrepaired"),
  cr1 = contrast(coef(fit), cr1, w, 11, "repaired - unrepaired"),
  logistic_hc0 = contrast(coef(logit), hc0, w, Inf, "repaired - unrepaired"),
  logistic_cr1 = contrast(coef(logit), cr1_l, w, 11, "repaired - unrepaired")
)

# ---- Mixed models against lme4.
people <- 40
id <- rep(seq_len(people), sample(2:6, people, replace = TRUE))
week <- ave(id, id, FUN = function(i) seq_along(i) - 1) * 13
arm <- ifelse(id %% 2 == 0, "b", "a")
b0 <- rnorm(people, sd = 2); b1 <- rnorm(people, sd = .03)
value <- round(20 + b0[id] + (-.05 + b1[id]) * week + (arm == "b") * .5 + rnorm(length(id)), 3)
flat <- round(20 - .05 * week + rnorm(length(id)), 3)
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9), check.conv.singular = "ignore")
describe <- function(model) {
  vc <- as.data.frame(VarCorr(model))
  list(
    terms = names(fixef(model)), fixed = unname(fixef(model)), se = unname(sqrt(diag(as.matrix(vcov(model))))),
    variances = vc$vcov, loglik = as.numeric(logLik(model)), df = attr(logLik(model), "df"), singular = isSingular(model),
    random = unname(as.matrix(ranef(model)$id))
  )
}
mixed <- list(
  data = list(id = id, week = week, arm = arm, value = value, flat = flat),
  slope_reml = describe(lmer(value ~ week * arm + (week | id), control = tight)),
  slope_ml = describe(lmer(value ~ week * arm + (week | id), REML = FALSE, control = tight)),
  intercept_reml = describe(lmer(value ~ week + (1 | id), control = tight)),
  singular_reml = describe(lmer(flat ~ week + (1 | id), control = tight))
)

# ---- Growth curve: a natural spline on the knots that four occasions at ranks 0, 1/3, 2/3 and 1 of 0, 13 ... 65 give.
curve <- lmer(value ~ ns(week, knots = c(26, 39), Boundary.knots = c(0, 65)) + (week | id), control = tight)
occasions <- data.frame(week = seq(0, 65, 13))
basis <- model.matrix(~ ns(week, knots = c(26, 39), Boundary.knots = c(0, 65)), occasions)
V <- as.matrix(vcov(curve))
last <- basis[6, ] - basis[1, ]
satterthwaite <- apply(basis, 1, function(l) contest1D(curve, l)$df)
growth <- list(
  df = unname(satterthwaite), change_df = contest1D(curve, last)$df,
  predicted = unname(drop(basis %*% fixef(curve))), se = unname(sqrt(diag(basis %*% V %*% t(basis)))),
  change_to_end = sum(last * fixef(curve)), change_to_end_se = sqrt(drop(t(last) %*% V %*% last))
)

write_reference(
  "change_reference", "formulas written out; t.test(paired), metafor::escalc(SMCRH), lm, glm, lme4::lmer, lmerTest::contest1D, splines::ns",
  list(reliable = reliable, effects = effects, regression = regression, mixed = mixed, growth = growth)
)
