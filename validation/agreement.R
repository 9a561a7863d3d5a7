# Reference values for class tables.
source("validation/reference.R")
suppressPackageStartupMessages({
  library(vcd)
  library(metafor)
})

named <- function(x, names) `dimnames<-`(x, list(row = names, col = names))
square <- function(x) {
  k <- nrow(x)
  fit <- Kappa(x)
  interval <- confint(fit)["Unweighted", ]
  test <- suppressWarnings(chisq.test(x, correct = FALSE))
  symmetry <- suppressWarnings(mcnemar.test(x, correct = FALSE))
  n <- sum(x)
  share <- suppressWarnings(prop.test(sum(diag(x)), n, correct = FALSE))$conf.int
  list(
    table = unname(x), n = n,
    kappa = unname(fit$Unweighted["value"]), ase = unname(fit$Unweighted["ASE"]),
    ci = unname(interval), agreement = sum(diag(x)) / n, agreement_ci = share[1:2],
    chi_square = unname(test$statistic), chi_df = unname(test$parameter), chi_p = test$p.value,
    residuals = unname(test$stdres), expected = unname(test$expected),
    bowker = unname(symmetry$statistic), bowker_df = unname(symmetry$parameter), bowker_p = symmetry$p.value,
    cramers_v = assocstats(as.table(x))$cramer,
    fisher_p = if (n < 400) fisher.test(x, workspace = 2e7)$p.value else NA
  )
}
two <- function(x) {
  a <- x[1, 1]; b <- x[1, 2]; c <- x[2, 1]; d <- x[2, 2]
  phi <- escalc("PHI", ai = a, bi = b, ci = c, di = d, vtype = "LS", add = 0)
  or <- escalc("OR", ai = a, bi = b, ci = c, di = d, add = .5, to = "only0")
  exact <- binom.test(b, b + c)
  out <- list(
    table = unname(x), phi = as.numeric(phi$yi), phi_variance = as.numeric(phi$vi),
    log_odds_ratio = as.numeric(or$yi), log_odds_ratio_variance = as.numeric(or$vi), mcnemar_exact_p = exact$p.value
  )
  if (a > 0 && c > 0) {
    rr <- escalc("RR", ai = a, bi = b, ci = c, di = d, add = 0)
    out$log_risk_ratio <- as.numeric(rr$yi)
    out$log_risk_ratio_variance <- as.numeric(rr$vi)
  }
  out
}

acuity <- xtabs(Freq ~ right + left, data = VisualAcuity, subset = gender == "female")
tables <- list(
  visual_acuity = matrix(as.numeric(acuity), 4),
  sexual_fun = matrix(as.numeric(SexualFun), 4),
  four_way = matrix(c(62, 29, 14, 11, 24, 210, 14, 39, 3, 9, 10, 6, 19, 26, 10, 62), 4, byrow = TRUE),
  small = matrix(c(4, 1, 0, 2, 5, 1, 1, 0, 3), 3, byrow = TRUE),
  partners = matrix(c(7, 2, 6, 25), 2, byrow = TRUE)
)
pairs <- list(
  published = matrix(c(304, 67, 98, 192), 2, byrow = TRUE),
  partners = matrix(c(7, 2, 6, 25), 2, byrow = TRUE),
  one_zero = matrix(c(9, 0, 4, 11), 2, byrow = TRUE)
)
wilson <- function(x, n, level) {
  list(x = x, n = n, level = level, ci = suppressWarnings(prop.test(x, n, conf.level = level, correct = FALSE))$conf.int[1:2])
}
calls <- paste(
  "vcd::Kappa, vcd::assocstats, chisq.test(correct = FALSE), mcnemar.test(correct = FALSE), fisher.test,",
  "prop.test(correct = FALSE), binom.test, metafor::escalc(PHI vtype LS; OR only0; RR)"
)
write_reference("agreement_reference", calls, list(
  square = lapply(tables, square), two = lapply(pairs, two),
  wilson = list(wilson(0, 9, .95), wilson(9, 9, .95), wilson(496, 661, .95), wilson(3, 17, .9))
))
