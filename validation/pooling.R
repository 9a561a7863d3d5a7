# Reference values for pooling.
# metafor stops scoring when tau2 moves by less than 1e-5; a tighter threshold makes its digits worth comparing.
source("validation/reference.R")
suppressPackageStartupMessages(library(metafor))

tight <- list(threshold = 1e-14, maxiter = 10000)
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
    robust = list(std_error = robust_fit$se, ci = c(robust_fit$ci.lb, robust_fit$ci.ub), p = robust_fit$pval)
  )
}

molloy <- escalc("ZCOR", ri = ri, ni = ni, data = metadat::dat.molloy2014)
raudenbush <- metadat::dat.raudenbush1985
x <- c(0, 4, 11, 7, 20, 3, 15)
n <- c(6, 9, 11, 30, 41, 17, 22)
logits <- escalc("PLO", xi = x, ni = n, add = .5, to = "only0")
calls <- paste(
  "metafor::rma(method = REML | DL | EE, test = z | knha, control threshold 1e-14), robust(cluster) = CR1,",
  "escalc(ZCOR; PLO only0)"
)
write_reference("pooling_reference", calls, list(
  cases = list(
    molloy2014 = case(molloy$yi, molloy$vi, molloy$controls),
    raudenbush1985 = case(raudenbush$yi, raudenbush$vi, raudenbush$weeks),
    logits = case(logits$yi, logits$vi, c(1, 1, 2, 3, 3, 4, 5))
  ),
  fisher_z = list(r = metadat::dat.molloy2014$ri, n = metadat::dat.molloy2014$ni, y = as.numeric(molloy$yi), v = as.numeric(molloy$vi)),
  logit = list(x = x, n = n, y = as.numeric(logits$yi), v = as.numeric(logits$vi))
))
