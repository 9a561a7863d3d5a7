# Reference values for omega, test-retest agreement and longitudinal invariance, from lavaan and psych.
source("validation/reference.R")
suppressPackageStartupMessages({library(lavaan); library(psych)})

# 160 people, four items answered 1 to 5 at two occasions, drawn once here and stored with the values.
set.seed(20261122)
n <- 160; k <- 4
factors <- MASS::mvrnorm(n, c(0, -.5), matrix(c(1, .6, .6, 1.2), 2))
loadings <- c(.9, .7, 1, .8); intercepts <- c(3, 2.6, 3.3, 2.9)
own <- matrix(rnorm(n * k, sd = .4), n)
answers <- do.call(cbind, lapply(1:2, function(t) {
  y <- sweep(outer(factors[, t], loadings), 2, intercepts, "+") + own + matrix(rnorm(n * k, sd = .6), n)
  pmin(pmax(round(y), 1), 5)
}))
incomplete <- answers
incomplete[runif(length(incomplete)) < .04] <- NA
incomplete[which(factors[, 1] + rnorm(n) > 1.5), k + 1:k] <- NA
names <- c(paste0("a", 1:k), paste0("b", 1:k))
frame <- function(x) setNames(as.data.frame(x), names)

model <- function(level) {
  i <- 1:k
  two <- function(free, same) if (level >= same) free else sub("_", "2_", free)
  lines <- c(
    paste("f1 =~ NA*a1 +", paste0("l_", i, "*a", i, collapse = " + ")),
    paste("f2 =~ NA*b1 +", paste0(two(paste0("l_", i), 1), "*b", i, collapse = " + ")),
    "f1 ~~ 1*f1", if (level > 0) "f2 ~~ NA*f2" else "f2 ~~ 1*f2", "f1 ~~ f2",
    "f1 ~ 0*1", if (level > 1) "f2 ~ NA*1" else "f2 ~ 0*1",
    paste0("a", i, " ~ t_", i, "*1"), paste0("b", i, " ~ ", two(paste0("t_", i), 2), "*1"),
    paste0("a", i, " ~~ u_", i, "*a", i), paste0("b", i, " ~~ ", two(paste0("u_", i), 3), "*b", i), paste0("a", i, " ~~ b", i)
  )
  paste(lines, collapse = "\n")
}
tight <- list(rel.tol = 1e-10, x.tol = 1e-10)
indices <- c("chisq", "df", "pvalue", "cfi", "tli", "rmsea", "rmsea.ci.lower", "rmsea.ci.upper", "srmr", "logl", "baseline.chisq")
invariance <- function(data, missing) {
  lapply(setNames(0:3, c("configural", "metric", "scalar", "strict")), function(level) {
    fit <- lavaan(model(level), frame(data), meanstructure = TRUE, missing = missing, control = tight,
                  em.h1.iter.max = 20000, em.h1.tol = 1e-13)
    as.list(setNames(as.numeric(fitMeasures(fit, indices)), gsub(".", "_", indices, fixed = TRUE)))
  })
}

one <- paste("f =~ NA*a1 +", paste0("l", 1:k, "*a", 1:k, collapse = " + "), "\n f ~~ 1*f\n", paste0("a", 1:k, " ~~ u", 1:k, "*a", 1:k, collapse = "\n"),
             "\n omega := (", paste0("l", 1:k, collapse = "+"), ")^2 / ((", paste0("l", 1:k, collapse = "+"), ")^2 +", paste0("u", 1:k, collapse = "+"), ")")
omega <- function(data, missing, estimator) {
  fit <- lavaan(one, frame(data), meanstructure = TRUE, int.ov.free = TRUE, missing = missing, estimator = estimator, control = tight)
  row <- subset(parameterEstimates(fit), lhs == "omega")
  list(omega = row$est, se = row$se, cfi = unname(fitMeasures(fit, "cfi")), rmsea = unname(fitMeasures(fit, "rmsea")))
}

# Shrout and Fleiss (1979), table 2: six targets, four judges; and 30 people at two occasions.
shrout <- matrix(c(9, 2, 5, 8, 6, 1, 3, 2, 8, 4, 6, 8, 7, 1, 2, 6, 10, 5, 6, 9, 6, 2, 4, 7), ncol = 4, byrow = TRUE)
true <- rnorm(30, 20, 6)
retest <- round(cbind(true + rnorm(30, 0, 2), true + 1 + rnorm(30, 0, 2)))
icc <- function(x, level = .95) {
  found <- psych::ICC(x, lmer = FALSE, alpha = 1 - level)
  values <- found$results
  list(
    ratings = x, level = level, icc = values$ICC, low = values$`lower bound`, high = values$`upper bound`, f = values$F, df1 = values$df1,
    df2 = values$df2, p = values$p
  )
}
agreement <- icc(retest)
residual <- anova(lm(y ~ factor(person) + factor(time), data.frame(y = c(retest), person = rep(1:30, 2), time = rep(1:2, each = 30))))
correlation <- cor.test(retest[, 1], retest[, 2])
calls <- "lavaan::lavaan(meanstructure = TRUE, missing = listwise/ml, estimator = ML/MLR); psych::fa(fm = 'ml'); psych::ICC(lmer = FALSE); anova(lm); cor.test"
write_reference("measurement", calls, list(
  answers = answers, incomplete = incomplete,
  invariance = list(complete = invariance(answers, "listwise"), incomplete = invariance(incomplete, "ml")),
  omega = list(
    complete = omega(answers, "listwise", "ML"), complete_robust = omega(answers, "listwise", "MLR"),
    incomplete = omega(incomplete, "ml", "ML"), incomplete_robust = omega(incomplete, "ml", "MLR")
  ),
  psych_omega = local({ # of standardised answers, from psych's own factor
    found <- psych::fa(answers[, 1:k], nfactors = 1, fm = "ml")
    unname(sum(found$loadings)^2 / (sum(found$loadings)^2 + sum(found$uniquenesses)))
  }),
  icc = list(shrout_fleiss = icc(shrout), retest = agreement, retest_90 = icc(retest, .90)),
  retest = list(
    mean_squares = residual$`Mean Sq`, r = unname(correlation$estimate), r_low = correlation$conf.int[1], r_high = correlation$conf.int[2],
    sd = mean(apply(retest, 2, var))^.5
  )
), digits = 10)
