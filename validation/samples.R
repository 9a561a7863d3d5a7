# Reference values for pooling class tables over samples: each measure read from 2 x 2 tables with zero cells, pooled with both intervals,
# in three levels, by the mixed model of counts, and regressed on traits.
source("validation/reference.R")
suppressPackageStartupMessages({
  library(metafor)
  library(clubSandwich)
  library(lme4)
})

tight <- list(threshold = 1e-14, tol = 1e-13, maxiter = 10000)
# Rows: insecure then secure parents; columns: insecure then secure children. Made up; two tables hold a zero.
cells <- matrix(c(
  18, 6, 5, 22,  9, 0, 4, 14,  31, 17, 20, 58,  7, 8, 6, 11,  22, 12, 3, 30,  14, 5, 9, 35,
  11, 9, 12, 25,  40, 21, 18, 70,  6, 2, 0, 12,  25, 19, 14, 41,  13, 4, 2, 19,  19, 15, 13, 28
), ncol = 4, byrow = TRUE)
cluster <- c(1, 1, 2, 3, 3, 3, 4, 5, 6, 6, 7, 8)
year <- c(1985, 1988, 1990, 1991, 1994, 1996, 1999, 2003, 2005, 2008, 2012, 2016)
risk <- c("low", "high", "low", "high", "low", "low", "high", "low", "medium", "high", "medium", "low")

# Cohen's kappa with the variance of Fleiss, Cohen and Everitt.
kappa_of <- function(x) {
  p <- matrix(x, 2, byrow = TRUE) / sum(x)
  r <- rowSums(p); s <- colSums(p); po <- sum(diag(p)); pe <- sum(r * s)
  k <- (po - pe) / (1 - pe)
  inner <- diag(2) - (outer(rep(1, 2), s, function(a, b) b) |> t() + outer(rep(1, 2), r)) * (1 - k)
  c(k, (sum(p * inner^2) - (k - pe * (1 - k))^2) / (sum(x) * (1 - pe)^2))
}
kappas <- t(apply(cells, 1, kappa_of))
n <- rowSums(cells)
phis <- apply(cells, 1, function(x) (x[1] * x[4] - x[2] * x[3]) / sqrt((x[1] + x[2]) * (x[3] + x[4]) * (x[1] + x[3]) * (x[2] + x[4])))
plo <- function(x, n) escalc("PLO", xi = x, ni = n, add = .5, to = "only0")
odds <- escalc("OR", ai = cells[, 1], bi = cells[, 2], ci = cells[, 3], di = cells[, 4], add = .5, to = "only0")
phi_z <- escalc("ZCOR", ri = phis, ni = n)
shares <- list(
  agreement = list(x = cells[, 1] + cells[, 4], n = n), secure_given_secure = list(x = cells[, 4], n = cells[, 3] + cells[, 4]),
  secure_given_insecure = list(x = cells[, 2], n = cells[, 1] + cells[, 2])
)
effects <- c(
  list(kappa = list(y = kappas[, 1], v = kappas[, 2]), phi = list(y = phi_z$yi, v = phi_z$vi), odds_ratio = list(y = odds$yi, v = odds$vi)),
  lapply(shares, function(s) with(plo(s$x, s$n), list(y = yi, v = vi)))
)

pooled <- lapply(setNames(names(effects), names(effects)), function(name) {
  e <- effects[[name]]
  y <- as.numeric(e$y); v <- as.numeric(e$v)
  one <- function(test) {
    fit <- rma(y, v, method = "REML", test = test, control = tight)
    limits <- predict(fit)
    list(estimate = as.numeric(fit$beta), ci = c(fit$ci.lb, fit$ci.ub), se = fit$se, tau2 = fit$tau2, i2 = fit$I2 / 100, q_p = fit$QEp,
         prediction = c(limits$pi.lb, limits$pi.ub))
  }
  nested <- rma.mv(y, v, random = ~ 1 | cluster / id, data = data.frame(id = seq_along(y), cluster = cluster),
                   control = list(optimizer = "bobyqa", rhoend = 1e-11, maxfun = 100000))
  robust <- function(type) {
    fit <- coef_test(nested, vcov = type, cluster = cluster, test = if (type == "CR2") "Satterthwaite" else "naive-t")
    list(estimate = as.numeric(nested$beta), se = fit$SE, df = if (is.null(fit$df_Satt)) fit$df_t else fit$df_Satt, sigma2 = nested$sigma2)
  }
  moderated <- rma(y, v, mods = ~ relevel(factor(risk), "low"), test = "knha", control = tight)
  slope <- rma(y, v, mods = ~ I(year - mean(year)), test = "knha", control = tight)
  cr2 <- function(mods) coef_test(rma(y, v, mods = mods, control = tight), vcov = "CR2", cluster = cluster)
  by_risk <- cr2(~ relevel(factor(risk), "low")); by_year <- cr2(~ I(year - mean(year)))
  by_level <- conf_int(rma(y, v, mods = ~ 0 + factor(risk, c("low", "high", "medium")), control = tight), vcov = "CR2", cluster = cluster)
  without <- leave1out(rma(y, v, test = "knha", control = tight))
  list(
    y = y, v = v, z = one("z"), hartung_knapp = one("knha"), CR2 = robust("CR2"), CR1 = robust("CR1"),
    risk = list(estimate = as.numeric(moderated$beta), ci_low = moderated$ci.lb, ci_high = moderated$ci.ub, qm_p = moderated$QMp,
                r2 = moderated$R2 / 100),
    year = list(estimate = as.numeric(slope$beta), ci_low = slope$ci.lb, ci_high = slope$ci.ub, qm_p = slope$QMp),
    risk_cr2 = list(se = by_risk$SE, p = by_risk$p_Satt), year_cr2 = list(se = by_year$SE, p = by_year$p_Satt),
    levels_cr2 = list(low = by_level$CI_L, high = by_level$CI_U),
    without = list(estimate = without$estimate, ci_low = without$ci.lb, ci_high = without$ci.ub),
    # Only the error of Fisher's z does not depend on the effect; elsewhere the predictor is 1 / sqrt(n), of a share
    # with n of those in its row.
    egger_p = regtest(rma(y, v, ni = if (is.null(shares[[name]])) n else shares[[name]]$n, control = tight), predictor = if (name == "phi") "sei" else "sqrtninv")$pval
  )
})
binomial <- lapply(shares, function(s) {
  d <- data.frame(x = s$x, n = s$n, id = factor(seq_along(s$x)))
  fit <- glmer(cbind(x, n - x) ~ 1 + (1 | id), d, family = binomial, nAGQ = 25,
               control = glmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10)))
  list(estimate = as.numeric(fixef(fit)), tau2 = as.numeric(VarCorr(fit)$id))
})

write_reference(
  "samples", "metafor: rma, rma.mv, predict, leave1out, escalc; clubSandwich: coef_test; lme4: glmer(nAGQ = 25)",
  list(cells = cells, cluster = cluster, year = year, risk = risk, pooled = pooled, binomial = binomial),
  digits = 12
)
