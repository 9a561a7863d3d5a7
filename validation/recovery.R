# Reference values for the measures of recovery studies, by rsimsum on its own example: log hazard ratios of three survival models
# in the first 60 data sets of 50 people (data set `relhaz`).
source("validation/reference.R")
library(rsimsum)

data("relhaz", package = "rsimsum")
truth <- -0.5
rows <- subset(relhaz, n == 50 & baseline == "Exponential" & dataset <= 60)
one <- function(model) {
  own <- rows[rows$model == model, ]
  own$low <- own$theta - qnorm(.975) * own$se
  own$high <- own$theta + qnorm(.975) * own$se
  own[[":true"]] <- truth
  control <- list(na.rm = TRUE, mcse = TRUE, level = .95, power_df = NULL)
  found <- rsimsum:::.performance(own, "theta", "se", truth, ci.limits = c("low", "high"), df = NULL, control = control)
  list(
    estimate = own$theta, std_error = own$se,
    value = as.list(setNames(found$est, found$stat)), mc_error = as.list(setNames(found$mcse, found$stat))
  )
}
models <- unique(as.character(rows$model))
calls <- "rsimsum:::.performance, which simsum() calls, with 95 % normal intervals as given limits"
write_reference("recovery_reference", calls, list(truth = truth, cases = setNames(lapply(models, one), models)))
