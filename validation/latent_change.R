# Reference values for the latent change score model, from lavaan.
source("validation/reference.R")
suppressPackageStartupMessages(library(lavaan))

# 200 people of 20 therapists, four items answered 1 to 7 at two waves; some answers and some second waves are missing.
set.seed(20261123)
n <- 200; k <- 4
therapist <- rep(1:20, length.out = n)
shift <- rnorm(20, 0, .3)[therapist]
first <- rnorm(n)
change <- -.8 - .25 * first + shift + rnorm(n, sd = .6)
loadings <- c(1.1, .8, 1, .9); intercepts <- c(4, 3.6, 4.3, 3.9)
own <- matrix(rnorm(n * k, sd = .5), n)
wave <- function(f) pmin(pmax(round(sweep(outer(f, loadings), 2, intercepts, "+") + own + matrix(rnorm(n * k, sd = .7), n)), 1), 7)
complete <- cbind(wave(first), wave(first + change))
incomplete <- complete
incomplete[runif(length(incomplete)) < .03] <- NA
incomplete[which(complete[, 1] + rnorm(n) > 5.5), k + 1:k] <- NA
names <- c(paste0("a", 1:k), paste0("b", 1:k))
weight <- 1 / k

i <- 1:k
sums <- function(p) paste0(p, i, collapse = "+")
model <- paste(c(
  paste("f1 =~ NA*a1 +", paste0("l", i, "*a", i, collapse = " + ")),
  paste("f2 =~ NA*b1 +", paste0("l", i, "*b", i, collapse = " + ")),
  "d =~ 1*f2", "f2 ~ 1*f1", "f2 ~~ 0*f2", "f2 ~ 0*1",
  "f1 ~~ 1*f1", "f1 ~ 0*1", "d ~ slope*f1", "d ~ mean*1", "d ~~ rest*d",
  paste0("a", i, " ~ t", i, "*1"), paste0("b", i, " ~ t", i, "*1"),
  paste0("a", i, " ~~ u", i, "*a", i), paste0("b", i, " ~~ v", i, "*b", i), paste0("a", i, " ~~ s", i, "*b", i),
  paste0("worth := ", weight, "*(", sums("l"), ")"),
  "variance_in_sds := rest + slope^2", "mean_points := worth*mean", "sd_points := worth*sqrt(variance_in_sds)",
  "correlation := slope/sqrt(variance_in_sds)",
  paste0("error := ", weight^2, "*(", sums("u"), "+", sums("v"), "-2*(", sums("s"), "))"),
  "reliability := sd_points^2/(sd_points^2 + error)"
), collapse = "\n")
tight <- list(rel.tol = 1e-10, x.tol = 1e-10)
wanted <- c("mean", "slope", "variance_in_sds", "mean_points", "sd_points", "correlation", "reliability", "error")
values <- function(data, missing, ...) {
  data <- cbind(setNames(as.data.frame(data), names), therapist = therapist)
  fit <- lavaan(model, data, meanstructure = TRUE, missing = missing, control = tight, em.h1.iter.max = 20000, em.h1.tol = 1e-13, ...)
  p <- parameterEstimates(fit)
  p$name <- ifelse(p$op == ":=", p$lhs, p$label)
  at <- match(wanted, p$name)
  list(
    estimate = as.list(setNames(p$est[at], wanted)), se = as.list(setNames(p$se[at], wanted)),
    fit = as.list(setNames(as.numeric(fitMeasures(fit, c("chisq", "df", "cfi", "rmsea", "logl"))), c("chi_square", "df", "cfi", "rmsea", "loglik")))
  )
}
calls <- "lavaan::lavaan(latent change score model, missing = listwise/ml, estimator = ML/MLR, cluster = therapist)"
write_reference("latent_change", calls, list(
  complete = complete, incomplete = incomplete, therapist = therapist,
  normal = values(complete, "listwise"), robust = values(complete, "listwise", estimator = "MLR"),
  incomplete_normal = values(incomplete, "ml"), incomplete_robust = values(incomplete, "ml", estimator = "MLR"),
  clustered = values(complete, "listwise", estimator = "MLR", cluster = "therapist"),
  incomplete_clustered = values(incomplete, "ml", estimator = "MLR", cluster = "therapist")
), digits = 10)
