# Reference values for pooling.
# metafor stops scoring when tau2 moves by less than 1e-5; a tighter threshold makes its digits worth comparing.
source("validation/reference.R")
suppressPackageStartupMessages({
  library(metafor)
  library(clubSandwich)
  library(lme4)
})

tight <- list(threshold = 1e-14, tol = 1e-13, maxiter = 10000)
told <- function(fit) {
  limits <- predict(fit)
  list(
    k = fit$k, estimate = as.numeric(fit$beta), std_error = fit$se, ci = c(fit$ci.lb, fit$ci.ub), p = fit$pval, tau2 = fit$tau2,
    tau2_se = fit$se.tau2, i2 = fit$I2 / 100, h2 = fit$H2, q = fit$QE, q_p = fit$QEp, prediction = c(limits$pi.lb, limits$pi.ub)
  )
}
case <- function(y, v, clusters) {
  reml <- rma(y, v, method = "REML", control = tight)
  robust_fit <- robust(reml, cluster = clusters)
  list(
    y = as.numeric(y), v = as.numeric(v), clusters = as.character(clusters),
    REML = told(reml), DL = told(rma(y, v, method = "DL")), EE = told(rma(y, v, method = "EE")),
    hartung_knapp = told(rma(y, v, method = "REML", test = "knha", control = tight)),
    robust = list(std_error = robust_fit$se, ci = c(robust_fit$ci.lb, robust_fit$ci.ub), p = robust_fit$pval),
    others = sapply(c("ML", "PM", "HE", "SJ", "EB"), function(m) told(rma(y, v, method = m, control = tight)), simplify = FALSE),
    tau2_interval = confint(reml, control = list(tol = 1e-13))$random["tau^2", c("ci.lb", "ci.ub")]
  )
}

molloy <- escalc("ZCOR", ri = ri, ni = ni, data = metadat::dat.molloy2014)
raudenbush <- metadat::dat.raudenbush1985
x <- c(0, 4, 11, 7, 20, 3, 15)
n <- c(6, 9, 11, 30, 41, 17, 22)
logits <- escalc("PLO", xi = x, ni = n, add = .5, to = "only0")

# ---- moderators
regression <- function(y, v, mods, clusters) {
  one <- function(test, method = "REML") {
    fit <- rma(y, v, mods = mods, method = method, test = test, control = tight)
    list(
      estimate = as.numeric(fit$beta), std_error = fit$se, ci_low = fit$ci.lb, ci_high = fit$ci.ub, p = fit$pval, tau2 = fit$tau2,
      tau2_se = fit$se.tau2, i2 = fit$I2 / 100, r2 = fit$R2 / 100, qe = fit$QE, qe_p = fit$QEp, qm = fit$QM, qm_p = fit$QMp
    )
  }
  fit <- rma(y, v, mods = mods, control = tight)
  robust_fit <- coef_test(fit, vcov = "CR2", cluster = clusters)
  list(
    y = as.numeric(y), v = as.numeric(v), design = as.data.frame(mods), clusters = as.character(clusters), z = one("z"),
    knha = one("knha"), DL = one("z", "DL"), HE = one("z", "HE"), SJ = one("z", "SJ"), ML = one("z", "ML"), PM = one("z", "PM"),
    CR2 = list(std_error = robust_fit$SE, df = robust_fit$df_Satt, p = robust_fit$p_Satt),
    tau2_interval = confint(fit, control = list(tol = 1e-13))$random["tau^2", c("ci.lb", "ci.ub")]
  )
}
regressions <- list(
  molloy2014 = regression(
    molloy$yi, molloy$vi, cbind(meanage = metadat::dat.molloy2014$meanage, quality = metadat::dat.molloy2014$quality),
    metadat::dat.molloy2014$year
  ),
  raudenbush1985 = regression(raudenbush$yi, raudenbush$vi, cbind(weeks = pmin(raudenbush$weeks, 3)), raudenbush$author)
)

# ---- three levels
assink <- metadat::dat.assink2016
nested <- function(y, v, clusters, mods = NULL) {
  id <- seq_along(y)
  right <- if (is.null(mods)) ~1 else as.formula(paste("~", paste(names(mods), collapse = " + ")))
  data <- if (is.null(mods)) data.frame(clusters, id) else data.frame(clusters, id, mods)
  model <- function(...) {
    rma.mv(y, v, mods = right, random = ~ 1 | clusters / id, data = data, control = list(optimizer = "bobyqa", rhoend = 1e-12), ...)
  }
  fit <- model()
  t_fit <- model(test = "t", dfs = "contain")
  told_by <- function(type) {
    found <- coef_test(fit, vcov = type, cluster = clusters, test = "Satterthwaite")
    list(std_error = found$SE, df = found$df_Satt, p = found$p_Satt)
  }
  cr1 <- robust(fit, cluster = clusters)
  limits <- if (is.null(mods)) predict(t_fit) else NULL
  list(
    y = as.numeric(y), v = as.numeric(v), clusters = as.character(clusters), design = if (!is.null(mods)) as.data.frame(mods),
    sigma2 = fit$sigma2, estimate = as.numeric(fit$beta), std_error = fit$se, q = fit$QE, q_p = fit$QEp, loglik = fit$fit.stats["ll", "REML"],
    CR1 = list(std_error = cr1$se, p = cr1$pval, ci = rbind(cr1$ci.lb, cr1$ci.ub)), CR2 = told_by("CR2"),
    prediction = c(limits$pi.lb, limits$pi.ub), ddf = t_fit$ddf
  )
}
three <- list(
  assink2016 = nested(assink$yi, assink$vi, assink$study),
  moderator = nested(assink$yi, assink$vi, assink$study, assink[c("year", "pubstatus")]),
  no_between = nested(
    c(.10, .62, .35, .71, .02, .55, .21, .48, .66, .12, .40, .33), rep(c(.02, .03, .01), 4), rep(1:4, each = 3)
  ),
  no_within = nested(
    c(.10, .12, .11, .51, .48, .50, .91, .93, .92, .30, .31, .29), rep(c(.02, .03, .01), 4), rep(1:4, each = 3)
  )
)

# ---- small studies and influence
shape <- function(y, v, n) {
  fit <- rma(y, v, control = tight)
  regtested <- function(...) {
    found <- regtest(fit, ...)
    list(
      estimate = if (found$model == "lm") unname(coef(found$fit)["Xsei"]) else unname(found$fit$beta[2, 1]), statistic = found$zval,
      p = found$pval, limit = found$est, limit_low = found$ci.lb, limit_high = found$ci.ub
    )
  }
  filled <- function(fit, side) {
    found <- trimfill(fit, side = side, control = tight)
    list(k0 = found$k0, estimate = as.numeric(found$beta), std_error = found$se, tau2 = found$tau2)
  }
  by_n <- rma(y, v, mods = 1 / sqrt(n), control = tight)
  ranks <- suppressWarnings(ranktest(fit))
  equal <- rma(y, v, method = "EE")
  left <- leave1out(fit)
  measured <- influence(fit)
  list(
    y = as.numeric(y), v = as.numeric(v), n = n, egger = regtested(), egger_weighted = regtested(model = "lm"),
    egger_n = list(estimate = by_n$beta[2, 1], statistic = by_n$zval[2], p = by_n$pval[2]),
    rank = list(tau = unname(ranks$tau), p = ranks$pval),
    fill = list(left = filled(fit, "left"), right = filled(fit, "right"), EE_left = filled(equal, "left"), EE_right = filled(equal, "right")),
    fill_auto = list(REML = trimfill(fit, control = tight)$side, EE = trimfill(equal)$side),
    leave_one_out = list(
      estimate = left$estimate, std_error = left$se, p_value = left$pval, ci_low = left$ci.lb, ci_high = left$ci.ub, q = left$Q,
      q_p = left$Qp, tau2 = left$tau2, i2 = left$I2 / 100
    ),
    influence = list(
      hat = measured$inf$hat, rstudent = measured$inf$rstudent, dffits = measured$inf$dffits, cook_d = measured$inf$cook.d,
      cov_ratio = measured$inf$cov.r, dfbeta = measured$dfbs$intrcpt, tau2_deleted = measured$inf$tau2.del,
      q_deleted = measured$inf$QE.del, influential = as.numeric(measured$is.infl)
    )
  )
}
shapes <- list(
  molloy2014 = shape(molloy$yi, molloy$vi, metadat::dat.molloy2014$ni),
  raudenbush1985 = shape(raudenbush$yi, raudenbush$vi, raudenbush$n1i + raudenbush$n2i)
)
mcdaniel <- escalc("ZCOR", ri = ri, ni = ni, data = metadat::dat.mcdaniel1994)
mcdaniel_fit <- rma(yi, vi, data = mcdaniel, control = tight)
cumulated <- cumul(rma(molloy$yi, molloy$vi, control = tight), order = metadat::dat.molloy2014$year)
cumulated <- list(estimate = cumulated$estimate, std_error = cumulated$se, tau2 = cumulated$tau2, q = cumulated$Q)

# ---- counts
binomial_normal <- function(x, n) {
  data <- data.frame(x = x, n = n, sample = factor(seq_along(x)))
  fit <- glmer(
    cbind(x, n - x) ~ 1 + (1 | sample),
    data = data, family = binomial, nAGQ = 25, control = glmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10), tolPwrss = 1e-12)
  )
  meta <- rma.glmm(measure = "PLO", xi = x, ni = n, nAGQ = 25, test = "t")
  # lme4 leaves constants out of its log likelihood, so R's own integrals tell it.
  sd <- attr(VarCorr(fit)$sample, "stddev")
  one <- function(i) {
    integrate(function(z) dbinom(x[i], n[i], plogis(fixef(fit) + sd * z)) * dnorm(z), -Inf, Inf, rel.tol = 1e-12, subdivisions = 1000)$value
  }
  loglik <- sum(log(vapply(seq_along(x), one, 0)))
  saturated <- sum(dbinom(x, n, x / n, log = TRUE))
  equal <- glm(cbind(x, n - x) ~ 1, family = binomial)
  limits <- suppressMessages(confint(fit, devtol = 1e-6, quiet = TRUE))
  list(
    x = x, n = n, estimate = unname(fixef(fit)), std_error = sqrt(as.matrix(vcov(fit))[1, 1]), tau2 = as.numeric(VarCorr(fit)$sample),
    loglik = loglik, lr = 2 * (loglik - as.numeric(logLik(equal))),
    profile = as.numeric(limits["(Intercept)", ]), profile_sd = as.numeric(limits[".sig01", ]),
    q = 2 * (saturated - as.numeric(logLik(equal))),
    metafor = list(estimate = as.numeric(meta$beta), std_error = meta$se, tau2 = meta$tau2, i2 = meta$I2 / 100, q = meta$QE.LRT, q_p = meta$QEp.LRT)
  )
}
counts <- list(
  mixed = binomial_normal(x, n),
  rare = binomial_normal(c(0, 0, 1, 0, 3, 2, 0, 9, 1, 0), c(20, 30, 25, 40, 18, 50, 12, 60, 33, 21)),
  common = binomial_normal(c(19, 30, 24, 28, 40, 66, 31, 50), c(30, 41, 40, 45, 60, 80, 50, 61))
)

calls <- paste(
  "metafor::rma(method = REML | ML | DL | PM | HE | SJ | EB | EE, test = z | knha, control threshold 1e-14), robust(cluster) = CR1,",
  "escalc(ZCOR; PLO only0), confint, rma(mods), rma.mv(~ 1 | cluster / id), regtest, ranktest, trimfill, leave1out, influence,",
  "cumul, rma.glmm; clubSandwich::coef_test(CR2, Satterthwaite); lme4::glmer(nAGQ = 25)"
)
write_reference("pooling_reference", calls, list(
  cases = list(
    molloy2014 = case(molloy$yi, molloy$vi, molloy$controls),
    raudenbush1985 = case(raudenbush$yi, raudenbush$vi, raudenbush$weeks),
    logits = case(logits$yi, logits$vi, c(1, 1, 2, 3, 3, 4, 5))
  ),
  fisher_z = list(r = metadat::dat.molloy2014$ri, n = metadat::dat.molloy2014$ni, y = as.numeric(molloy$yi), v = as.numeric(molloy$vi)),
  logit = list(x = x, n = n, y = as.numeric(logits$yi), v = as.numeric(logits$vi)),
  regressions = regressions, nested = three, shapes = shapes, cumulative = cumulated,
  many_ranks = list(r = mcdaniel$ri, n = mcdaniel$ni, tau = unname(ranktest(mcdaniel_fit, exact = FALSE)$tau), p = ranktest(mcdaniel_fit, exact = FALSE)$pval),
  counts = counts
))
