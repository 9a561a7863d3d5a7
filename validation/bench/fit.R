# Fit one model with lme4 in a process of its own, and write what it took: Rscript fit.R FOLDER OUT. See fit.py beside it.
# Rscript fit.R --versions prints the versions. Settings are lme4's defaults (glmer: nAGQ = 1), whose search stops some digits early;
# with --tight after OUT, a search with tiny tolerances follows from where it stopped, untimed, for the estimates to be held against.
arguments <- commandArgs(trailingOnly = TRUE)
started <- proc.time()[["elapsed"]]
suppressPackageStartupMessages({
  library(jsonlite)
  library(lme4)
})
if (identical(arguments, "--versions")) {
  cat(toJSON(list(R = paste0(R.version$major, ".", R.version$minor), lme4 = as.character(packageVersion("lme4")),
                  Matrix = as.character(packageVersion("Matrix"))), auto_unbox = TRUE))
  quit()
}
SHORT <- 3
LONG <- 10
CALLS <- 5

peak_mb <- function() {
  status <- tryCatch(readLines("/proc/self/status"), error = function(e) character(), warning = function(w) character())
  line <- grep("^VmHWM", status, value = TRUE)
  if (length(line)) as.numeric(gsub("[^0-9]", "", line)) * 1024 / 1e6 else sum(gc()[, 6]) * 1.048576
}

folder <- arguments[1]
about <- fromJSON(file.path(folder, "about.json"))
imported <- proc.time()[["elapsed"]]
column <- function(name) {
  kind <- about$columns[[name]]
  path <- file.path(folder, paste0(name, ".bin"))
  real <- kind == "<f8"
  readBin(path, if (real) "double" else "integer", n = file.size(path) / (if (real) 8 else 4), size = if (real) 8 else 4,
          endian = "little")
}
rows <- as.data.frame(lapply(setNames(nm = names(about$columns)), column))
sets <- lapply(seq_len(about$fits_others), function(i) rows[(about$starts[i] + 1):about$starts[i + 1], ])
rm(rows)
invisible(gc())
read_at <- proc.time()[["elapsed"]]
before <- peak_mb()

formula <- as.formula(about$mixed)
outcome <- all.vars(formula)[1]
triangle <- function(m) m[upper.tri(m, diag = TRUE)]
told <- function(got) {
  parts <- unlist(lapply(about$groups, function(g) triangle(unclass(VarCorr(got)[[g]]))), use.names = FALSE)
  list(
    fixed = unname(fixef(got)), std_errors = sqrt(diag(as.matrix(vcov(got)))),
    variances = if (about$family == "binomial") parts else c(parts, sigma(got)^2),
    loglik = as.numeric(logLik(got)), converged = length(got@optinfo$conv$lme4$messages) == 0 && got@optinfo$conv$opt == 0
  )
}
quietly <- function(x) suppressMessages(suppressWarnings(x))
fit <- function(data) {
  quietly(if (about$family == "binomial") glmer(formula, data, family = binomial) else lmer(formula, data))
}
tight <- function(data, got) {
  if (about$family == "binomial") {
    # glmer fails with a smaller tolPwrss.
    control <- glmerControl("bobyqa", optCtrl = list(rhoend = 1e-9, maxfun = 1e5), tolPwrss = 1e-13)
    start <- list(theta = getME(got, "theta"), fixef = fixef(got))
    return(quietly(glmer(formula, data, family = binomial, control = control, start = start)))
  }
  control <- lmerControl("bobyqa", optCtrl = list(rhobeg = 1e-3, rhoend = 1e-9, maxfun = 1e5))
  quietly(lmer(formula, data, control = control, start = getME(got, "theta")))
}
calls <- list()
repeat {
  before_call <- proc.time()
  last <- NULL
  got <- lapply(sets, function(data) {
    last <<- if (about$one_design && !is.null(last)) quietly(refit(last, newresp = data[[outcome]])) else fit(data)
    list(fit = last, told = told(last))
  })
  took <- proc.time() - before_call
  calls[[length(calls) + 1]] <- list(seconds = took[["elapsed"]], cpu_seconds = took[["user.self"]] + took[["sys.self"]])
  spent <- proc.time()[["elapsed"]] - read_at
  if (length(calls) == CALLS || calls[[1]]$seconds > LONG || (length(calls) > 1 && spent > SHORT) || length(sets) > 1) break
}
means <- function(all) {
  mean_of <- function(part) unname(Reduce(`+`, lapply(all, `[[`, part)) / length(all))
  list(
    fixed = I(mean_of("fixed")), std_errors = I(mean_of("std_errors")), variances = I(mean_of("variances")),
    loglik = mean_of("loglik"), converged = all(vapply(all, `[[`, TRUE, "converged"))
  )
}
result <- list(
  import_seconds = imported - started, read_seconds = read_at - imported, calls = calls, fits = length(sets),
  before_mb = before, peak_mb = peak_mb(), estimates = means(lapply(got, `[[`, "told"))
)
if (identical(arguments[3], "--tight")) {
  tight_from <- proc.time()[["elapsed"]]
  result$tight <- means(lapply(seq_along(sets), function(i) told(tight(sets[[i]], got[[i]]$fit))))
  result$tight_seconds <- proc.time()[["elapsed"]] - tight_from
}
writeLines(toJSON(result, auto_unbox = TRUE, digits = NA), arguments[2])
