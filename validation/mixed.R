# Reference values for linear mixed models: lme4 at its true optimum, lmerTest, pbkrtest, clubSandwich, and dense matrices.
# lme4's own optimiser stops some digits early; here it is started from several places with tiny tolerances, and a Newton step on
# Richardson differences follows. `default_loglik` is what lme4 finds by itself.
source("validation/reference.R")
suppressPackageStartupMessages({
  library(lme4)
  library(lmerTest)
  library(pbkrtest)
  library(clubSandwich)
  library(minqa)
  library(numDeriv)
})
RNGversion("4.2.0")

# ---- Data ----
draw <- function(n, sd) rnorm(n, sd = sd)
sleep <- data.frame(Reaction = sleepstudy$Reaction, Days = sleepstudy$Days, Subject = as.integer(as.character(sleepstudy$Subject)))

set.seed(102)
balanced <- expand.grid(week = c(0, 2, 4, 8, 12), client = 1:72)
balanced$therapist <- (balanced$client - 1) %/% 6 + 1
balanced$arm <- ifelse(balanced$client %% 2 == 0, "b", "a")
balanced$y <- with(balanced, round(
  22 + draw(12, 2.5)[therapist] + draw(72, 2.5)[client] + (-.4 - .15 * (arm == "b") + draw(72, .2)[client]) * week + draw(360, 2), 2
))

# Unequal therapists, clients with one row, own times, missing scores.
set.seed(202)
caseload <- c(1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 8, 8, 9)
therapist <- rep(seq_along(caseload), caseload)
k <- length(therapist)
rows <- c(1, sample(1:8, k - 1, replace = TRUE))
unbalanced <- data.frame(client = rep(seq_len(k), rows))
unbalanced$therapist <- therapist[unbalanced$client]
unbalanced$experience <- round(runif(16, 0, 25))[unbalanced$therapist]
unbalanced$week <- round(runif(nrow(unbalanced), 0, 20), 1)
unbalanced$y <- with(unbalanced, round(
  25 - .06 * experience + draw(16, 2)[therapist] + draw(k, 3)[client] +
    (-.5 + draw(16, .15)[therapist] + draw(k, .25)[client]) * week + draw(nrow(unbalanced), 2), 2
))
unbalanced$y[sample(nrow(unbalanced), 17)] <- NA

set.seed(303)
site_of <- rep(1:7, c(2, 3, 3, 4, 2, 5, 4))
clients <- sample(2:5, 23, replace = TRUE)
therapist <- rep(1:23, clients)
k <- length(therapist)
sites <- data.frame(client = rep(seq_len(k), sample(2:6, k, replace = TRUE)))
sites$therapist <- therapist[sites$client]
sites$site <- site_of[sites$therapist]
sites$week <- ave(sites$client, sites$client, FUN = function(i) seq_along(i) - 1) * 3
sites$y <- with(sites, round(
  18 + draw(7, 1.5)[site] + draw(23, 1.2)[therapist] + draw(k, 2.5)[client] + (-.3 + draw(k, .2)[client]) * week +
    draw(nrow(sites), 1.5), 2
))

# Sessions: does the alliance of the last session, beside the client's usual one, go with today's distress?
set.seed(404)
sessions <- expand.grid(session = 1:6, client = 1:80)
sessions$therapist <- (sessions$client - 1) %/% 4 + 1
usual <- draw(80, .6)
alliance <- 5 + usual[sessions$client] + draw(480, .5)
mean_alliance <- ave(alliance, sessions$client)
sessions$between <- round(mean_alliance - 5, 3)
sessions$within <- round(ave(alliance - mean_alliance, sessions$client, FUN = function(x) c(NA, head(x, -1))), 3)
sessions$y <- round(15 - 1.5 * sessions$between - .8 * ifelse(is.na(sessions$within), 0, sessions$within) -
  .3 * sessions$session + draw(20, 1.6)[sessions$therapist] + draw(80, 2)[sessions$client] + draw(480, 1.8), 2)

set.seed(505)
caseload <- c(2, 2, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 6, 7, 7)
therapist <- rep(1:15, caseload)
few <- expand.grid(week = c(0, 6, 12), client = seq_along(therapist))
few$therapist <- therapist[few$client]
few$trained <- ifelse(few$therapist %% 3 == 0, "yes", "no")
few$y <- with(few, round(
  20 + draw(15, 1.8)[therapist] + draw(length(therapist), 2.5)[client] +
    (-.3 - .2 * (trained == "yes") + draw(15, .12)[therapist]) * week + draw(nrow(few), 2), 2
))

set.seed(606)
courses <- data.frame(client = rep(1:54, sample(2:6, 54, replace = TRUE)))
courses$arm <- c("a", "b", "c")[(courses$client - 1) %% 3 + 1]
courses$week <- round(runif(nrow(courses), 0, 16), 1)
courses$y <- with(courses, round(
  20 + c(a = 0, b = 1, c = -1)[arm] + draw(54, 2.5)[client] +
    (-.3 + c(a = 0, b = -.2, c = .1)[arm] + draw(54, .25)[client]) * week + draw(nrow(courses), 1.5), 2
))

# A large mean and days that count from far away; lme4 is given both from near zero, which changes the parameters linearly.
set.seed(707)
large <- data.frame(client = rep(1:60, each = 5), day = rep(c(0, 14, 28, 60, 120), 60))
large$day <- large$day + 9000 + rep(sample(0:300, 60, replace = TRUE), each = 5)
large$y <- with(large, round(
  1e6 + draw(60, 8)[client] + (-.2 + draw(60, .05)[client]) * (day - 9100) + draw(300, 4), 2
))
near <- transform(large, day = day - 9100, y = y - 1e6)

# Outcomes whose best variances lie on the boundary; the seeds were chosen for that, and add() makes sure of it.
edge <- expand.grid(week = c(0, 1, 2, 3, 5), client = 1:40)
edge$therapist <- (edge$client - 1) %/% 4 + 1
outcome <- function(seed, client = 0, slope = 0, r = 0, therapist = 0, therapist_slope = 0) {
  set.seed(seed)
  b0 <- rnorm(40)
  b1 <- slope * (r * b0 + sqrt(1 - r^2) * rnorm(40))
  u <- rnorm(10)
  round(10 + client * b0[edge$client] + therapist * u[edge$therapist] +
    (-.5 + b1[edge$client] + therapist_slope * u[edge$therapist]) * edge$week + rnorm(nrow(edge), sd = 1.5), 2)
}
edge$no_slope <- outcome(22, client = 2)
edge$rising <- outcome(3, client = 1.5, slope = .3, r = 1)
edge$falling <- outcome(5, client = 1.5, slope = .3, r = -1)
edge$no_therapist <- outcome(1, client = 1.5)
edge$one_line <- outcome(6, client = 1.5, slope = .3, therapist = 1.5, therapist_slope = .3)
edge$two_lines <- outcome(19, client = 1.5, slope = .3, therapist = 1.5, therapist_slope = .3)
edge$only_therapist <- outcome(23)
edge$nothing <- outcome(5)
# A slope's variance of exactly zero beside intercepts that vary takes symmetry: every client has a mirror image about the line
# -0.5 week.
set.seed(801)
mirror <- expand.grid(week = -2:2, client = 1:40)
half <- 1:100
mirror$y[half] <- round(10 - .5 * mirror$week[half] + 2 * rep(rnorm(20), each = 5) + draw(100, 1.5), 2)
mirror$y[-half] <- c(matrix(mirror$y[half], 5)[5:1, ]) - mirror$week[-half]

# ---- Fitting ----
random_part <- function(groups, slopes) {
  paste(sprintf("(%s | %s)", sapply(groups, function(g) paste(c("1", slopes[[g]]), collapse = " + ")), groups), collapse = " + ")
}
exact <- lmerControl(
  optimizer = NULL, calc.derivs = FALSE, check.conv.singular = "ignore", check.rankX = "ignore", check.scaleX = "ignore"
)
best_theta <- function(criterion) {
  low <- environment(criterion)$lower
  on_diagonal <- low == 0
  starts <- lapply(list(1, .3, 2, .02), function(s) ifelse(on_diagonal, s, 0))
  ends <- lapply(starts, function(s) {
    one <- bobyqa(s, criterion, lower = low, control = list(rhoend = 1e-10, maxfun = 1e5))
    bobyqa(one$par, criterion, lower = low, control = list(rhobeg = .05, rhoend = 1e-10, maxfun = 1e5))
  })
  theta <- ends[[which.min(sapply(ends, `[[`, "fval"))]]$par
  value <- criterion(theta)
  for (i in which(on_diagonal & theta < 1e-3)) { # as good at zero itself?
    tried <- replace(theta, i, 0)
    if (criterion(tried) <= value + 1e-9) theta <- tried
  }
  free <- which(!(on_diagonal & theta == 0))
  if (length(free)) {
    part <- function(x) criterion(replace(theta, free, x))
    bend <- hessian(part, theta[free])
    if (min(eigen(bend, TRUE, only.values = TRUE)$values) > 1e-4) {
      moved <- replace(theta, free, theta[free] - solve(bend, grad(part, theta[free])))
      if (all(moved[on_diagonal] >= 0) && criterion(moved) <= criterion(theta) + 1e-9) theta <- moved
    }
  }
  round(theta, 8) # what two runs agree on: the sums behind the likelihood are not always added in one order
}
fit_of <- function(formula, data, reml) {
  criterion <- do.call(lme4::lmer, list(formula, data, REML = reml, devFunOnly = TRUE, control = exact))
  do.call(lmerTest::lmer, list(formula, data, REML = reml, start = list(theta = best_theta(criterion)), control = exact))
}

# Names as the project has them: Intercept, arm[T.b], week:arm[T.b]; intercept, week, therapist: intercept:week.
term_names <- function(x, data, constant = TRUE) {
  for (column in names(data)[sapply(data, is.character)]) {
    for (level in unique(data[[column]])) {
      told <- sprintf(if (constant) "\\1%s[T.%s]\\2" else "\\1%s[%s]\\2", column, level)
      x <- sub(paste0("(^|:)", column, level, "($|:)"), told, x)
    }
  }
  sub("(Intercept)", "Intercept", x, fixed = TRUE)
}
variances_of <- function(model, lowest) {
  parts <- as.data.frame(VarCorr(model))
  short <- function(x) ifelse(x == "(Intercept)", "intercept", x)
  told <- ifelse(is.na(parts$var2), short(parts$var1), paste0(short(parts$var1), ":", short(parts$var2)))
  named <- ifelse(parts$grp == "Residual", "residual", ifelse(parts$grp == lowest, told, paste0(parts$grp, ": ", told)))
  as.list(setNames(parts$vcov, named))
}

# Bell & McCaffrey (2002) on the whitened rows V^(-1/2)X, V^(-1/2)y, clustered at the top level, by dense matrices.
power_of <- function(a, power) {
  e <- eigen((a + t(a)) / 2, symmetric = TRUE)
  e$vectors %*% (ifelse(e$values > 1e-9, pmax(e$values, 1e-9)^power, 0) * t(e$vectors))
}
bell_mccaffrey <- function(X, y, V, cluster) {
  white <- matrix(0, nrow(V), ncol(V))
  parts <- split(seq_along(y), cluster)
  for (i in parts) white[i, i] <- power_of(V[i, i], -.5)
  X <- white %*% X
  y <- white %*% y
  M <- solve(crossprod(X))
  e <- drop(y - X %*% M %*% crossprod(X, y))
  adjusted <- lapply(parts, function(i) power_of(diag(length(i)) - X[i, , drop = FALSE] %*% M %*% t(X[i, , drop = FALSE]), -.5))
  scores <- mapply(function(i, a) crossprod(X[i, , drop = FALSE], a %*% e[i]), parts, adjusted)
  scores <- matrix(scores, ncol(X))
  residual_maker <- diag(length(y)) - X %*% M %*% t(X)
  df <- apply(M, 2, function(m) {
    p <- mapply(function(i, a) t(residual_maker[i, , drop = FALSE]) %*% (a %*% (X[i, , drop = FALSE] %*% m)), parts, adjusted)
    omega <- crossprod(matrix(p, length(y)))
    sum(diag(omega))^2 / sum(omega^2)
  })
  list(std_error = sqrt(diag(M %*% tcrossprod(scores) %*% M)), df = df)
}

modes_of <- function(model) {
  found <- as.data.frame(ranef(model, condVar = TRUE))
  found$term <- ifelse(found$term == "(Intercept)", "intercept", as.character(found$term))
  lapply(split(found, found$grpvar), function(g) {
    list(unit = as.integer(as.character(g$grp)), term = g$term, estimate = g$condval, std_error = g$condsd)
  })
}

# Standard errors of single units' expected scores, from the inverse of Henderson's mixed-model equations.
known_of <- function(model, at) {
  X <- getME(model, "X")
  Z <- as.matrix(getME(model, "Z") %*% getME(model, "Lambda"))
  both <- cbind(X, Z)
  C <- solve(crossprod(both) + diag(rep(0:1, c(ncol(X), ncol(Z)))))
  list(predicted = unname(fitted(model)[at]), std_error = sigma(model) * sqrt(unname(rowSums((both[at, ] %*% C) * both[at, ]))))
}

# What rests on second derivatives by differences.
rough <- function(x) signif(x, 6)

models <- list()
fits <- list()
add <- function(name, data, fixed, groups, slopes = list(), reml = TRUE, boundary = FALSE, modes = FALSE, small = reml,
                robust = TRUE) {
  frame <- get(data)
  formula <- as.formula(paste(fixed, "+", random_part(groups, slopes)))
  model <- fit_of(formula, frame, reml)
  plain <- suppressMessages(suppressWarnings(do.call(lme4::lmer, list(formula, frame, REML = reml))))
  stopifnot(isSingular(model) == boundary, logLik(model) >= logLik(plain) - 1e-8)
  terms <- term_names(names(fixef(model)), frame, attr(terms(model), "intercept") == 1)
  named <- function(x) as.list(setNames(as.numeric(x), terms))
  told <- coef(summary(model))
  found <- list(
    call = sprintf("lmer(%s, %s, REML = %s)", paste(deparse(formula, width.cutoff = 500), collapse = ""), data, reml),
    data = data, formula = fixed, groups = groups, slopes = slopes[lengths(slopes) > 0], reml = reml,
    n = nobs(model), terms = terms, fixed = named(fixef(model)), std_error = named(told[, "Std. Error"]),
    covariance = unname(as.matrix(vcov(model))), variances = variances_of(model, groups[1]),
    loglik = as.numeric(logLik(model)), n_parameters = attr(logLik(model), "df"), singular = boundary,
    df = named(rough(told[, "df"])), p_value = named(rough(told[, "Pr(>|t|)"])),
    default_loglik = round(as.numeric(logLik(plain)), 4)
  )
  if (!length(found$slopes)) found$slopes <- NULL
  if (!boundary) {
    weights <- rep_len(c(1, 4, -.5, 2, .25, 3), length(terms))
    one <- contest1D(model, weights, confint = TRUE)
    found$combination <- list(
      call = "lmerTest::contest1D(weights, confint = TRUE)", weights = named(weights), estimate = one$Estimate,
      std_error = one$`Std. Error`, df = rough(one$df), p_value = rough(one$`Pr(>|t|)`), ci_low = rough(one$lower),
      ci_high = rough(one$upper)
    )
    at <- c(1, 4, 9, 26, 27)
    used <- frame[complete.cases(frame[all.vars(formula)]), ][at, ]
    lines <- lapply(at, function(i) contest1D(model, getME(model, "X")[i, ], confint = TRUE))
    pick <- function(column) sapply(lines, function(line) line[[column]])
    found$predictions <- list(
      call = "lmerTest::contest1D(row of the design, confint = TRUE)", new = used[setdiff(all.vars(formula), all.vars(formula)[1])],
      predicted = pick("Estimate"), std_error = pick("Std. Error"), ci_low = rough(pick("lower")),
      ci_high = rough(pick("upper"))
    )
    if (modes) found$predictions$known <- known_of(model, at)
  }
  if (modes) found$modes <- modes_of(model)
  if (small) {
    kr <- coef(summary(model, ddf = "Kenward-Roger"))
    found$kenward_roger <- list(
      call = "summary(lmerTest::lmer, ddf = 'Kenward-Roger'), from pbkrtest::vcovAdj and ddf_Lb",
      std_error = named(kr[, "Std. Error"]), df = named(kr[, "df"]), p_value = named(kr[, "Pr(>|t|)"])
    )
  }
  if (robust) {
    top <- groups[length(groups)]
    V <- sigma(model)^2 * (as.matrix(crossprod(getME(model, "Lambdat") %*% getME(model, "Zt"))) + diag(nobs(model)))
    dense <- bell_mccaffrey(getME(model, "X"), getME(model, "y"), V, model.frame(model)[[top]])
    club <- coef_test(model, vcov = vcovCR(model, type = "CR2"), test = "Satterthwaite")
    found$robust <- list(
      call = paste("Bell & McCaffrey (2002) by dense matrices on whitened rows, clusters:", top),
      std_error = named(dense$std_error), df = named(dense$df),
      clubSandwich = list(std_error = named(club$SE), df = named(club$df))
    )
  }
  models[[name]] <<- model
  fits[[name]] <<- found
}

growth <- list(client = "week")
both <- list(client = "week", therapist = "week")
add("sleepstudy_reml", "sleep", "Reaction ~ Days", "Subject", list(Subject = "Days"), modes = TRUE)
add("sleepstudy_ml", "sleep", "Reaction ~ Days", "Subject", list(Subject = "Days"), reml = FALSE, modes = TRUE)
add("sleepstudy_intercept", "sleep", "Reaction ~ Days", "Subject")
add("sleepstudy_intercept_ml", "sleep", "Reaction ~ Days", "Subject", reml = FALSE)
add("balanced_reml", "balanced", "y ~ week * arm", c("client", "therapist"), growth, modes = TRUE)
add("balanced_ml", "balanced", "y ~ week * arm", c("client", "therapist"), growth, reml = FALSE)
add("balanced_no_arm_ml", "balanced", "y ~ week", c("client", "therapist"), growth, reml = FALSE)
add("balanced_two_levels", "balanced", "y ~ week * arm", "client", growth)
add("unbalanced_reml", "unbalanced", "y ~ week * experience", c("client", "therapist"), both, modes = TRUE)
add("unbalanced_ml", "unbalanced", "y ~ week * experience", c("client", "therapist"), both, reml = FALSE)
add("unbalanced_one_slope", "unbalanced", "y ~ week * experience", c("client", "therapist"), growth)
add("sites_reml", "sites", "y ~ week", c("client", "therapist", "site"), growth, modes = TRUE)
add("sites_ml", "sites", "y ~ week", c("client", "therapist", "site"), growth, reml = FALSE)
add("sessions_reml", "sessions", "y ~ within + between + session", c("client", "therapist"))
add("sessions_ml", "sessions", "y ~ within + between + session", c("client", "therapist"), reml = FALSE)
add("few_therapists", "few", "y ~ week * trained", c("client", "therapist"))
add("few_therapists_slope", "few", "y ~ week * trained", c("client", "therapist"), list(therapist = "week"))
add("three_arms", "courses", "y ~ week * arm", "client", growth)
add("no_constant", "courses", "y ~ 0 + week + arm", "client", growth)
add("slope_without_its_mean", "courses", "y ~ 1", "client", growth)
add("edge_no_slope", "edge", "no_slope ~ week", "client", growth, boundary = TRUE)
add("edge_rising", "edge", "rising ~ week", "client", growth, boundary = TRUE)
add("edge_falling", "edge", "falling ~ week", "client", growth, boundary = TRUE)
add("edge_mirror", "mirror", "y ~ week", "client", growth, boundary = TRUE)
add("edge_no_therapist", "edge", "no_therapist ~ week", c("client", "therapist"), boundary = TRUE)
add("edge_one_line", "edge", "one_line ~ week", c("client", "therapist"), both, boundary = TRUE, modes = TRUE)
add("edge_two_lines", "edge", "two_lines ~ week", c("client", "therapist"), both, boundary = TRUE)
add("edge_only_therapist", "edge", "only_therapist ~ week", c("client", "therapist"), growth, boundary = TRUE, modes = TRUE)
add("edge_nothing", "edge", "nothing ~ week", c("client", "therapist"), growth, boundary = TRUE)
add("edge_rising_ml", "edge", "rising ~ week", "client", growth, reml = FALSE, boundary = TRUE)
add("near", "near", "y ~ day", "client", list(client = "day"), small = FALSE, robust = FALSE)

# The fit of `near`, in the units of `large`: y = 1e6 + near, day = 9100 + near. The likelihood does not change.
shifted <- fits$near
move <- matrix(c(1, 0, -9100, 1), 2) # (intercept, slope) at day 0 from those at day 9100
beta <- drop(move %*% unlist(shifted$fixed)) + c(1e6, 0)
covariance <- move %*% shifted$covariance %*% t(move)
psi <- with(shifted$variances, move %*% matrix(c(intercept, `intercept:day`, `intercept:day`, day), 2) %*% t(move))
fits$near <- NULL
kept <- c("formula", "groups", "slopes", "reml", "n", "terms", "loglik", "n_parameters", "singular")
fits$large <- c(shifted[kept], list(
  call = paste(shifted$call, "and its parameters moved to day 0 and y 0"), data = "large",
  fixed = as.list(setNames(beta, shifted$terms)), std_error = as.list(setNames(sqrt(diag(covariance)), shifted$terms)),
  variances = list(intercept = psi[1, 1], day = psi[2, 2], `intercept:day` = psi[1, 2], residual = shifted$variances$residual)
))

# ---- Likelihood-ratio tests ----
ratio <- function(smaller, larger, boundary = NULL) {
  told <- anova(models[[smaller]], models[[larger]], refit = FALSE)
  x <- told$Chisq[2]
  df <- told$Df[2]
  list(
    call = "anova(smaller, larger, refit = FALSE)", smaller = smaller, larger = larger, statistic = x, df = df,
    p_value = told$`Pr(>Chisq)`[2],
    p_boundary = if (!is.null(boundary)) mean(pchisq(x, c(df - 1, df), lower.tail = FALSE)) # Stram & Lee (1994)
  )
}
ratios <- list(
  slope_reml = ratio("sleepstudy_intercept", "sleepstudy_reml", TRUE),
  slope_ml = ratio("sleepstudy_intercept_ml", "sleepstudy_ml", TRUE),
  arm = ratio("balanced_no_arm_ml", "balanced_ml"),
  therapist = ratio("balanced_two_levels", "balanced_reml", TRUE),
  therapist_slope = ratio("unbalanced_one_slope", "unbalanced_reml", TRUE)
)

# ---- CR2 where all variances are zero is that of least squares: clubSandwich::vcovCR(lm), and the dense matrices agree ----
line <- lm(nothing ~ week, edge)
club <- coef_test(line, vcov = vcovCR(line, cluster = edge$therapist, type = "CR2"), test = "Satterthwaite")
dense <- bell_mccaffrey(model.matrix(line), edge$nothing, diag(nrow(edge)), edge$therapist)
same <- function(x, y) all.equal(as.numeric(x), as.numeric(y), tolerance = 1e-9)
stopifnot(same(dense$std_error, club$SE), same(dense$df, club$df))
least_squares <- list(
  call = "clubSandwich::vcovCR(lm(nothing ~ week, edge), cluster = therapist, type = 'CR2'), coef_test(test = 'Satterthwaite')",
  fixed = as.list(setNames(coef(line), c("Intercept", "week"))),
  std_error = as.list(setNames(club$SE, c("Intercept", "week"))), df = as.list(setNames(club$df, c("Intercept", "week")))
)

# sleepstudy against what is printed in lme4's own article and help (Bates et al., 2015, section 1.3).
stopifnot(
  all.equal(round(unlist(fits$sleepstudy_reml$fixed, use.names = FALSE), 3), c(251.405, 10.467)),
  all.equal(round(as.data.frame(VarCorr(models$sleepstudy_reml))$sdcor, c(2, 2, 2, 2)), c(24.74, 5.92, .07, 25.59)),
  round(-2 * fits$sleepstudy_reml$loglik, 1) == 1743.6
)

frames <- c("sleep", "balanced", "unbalanced", "sites", "sessions", "few", "courses", "large", "edge", "mirror")
write_reference(
  "mixed_reference", "lme4::lmer at tight tolerances from four starts; lmerTest, pbkrtest, clubSandwich; dense matrices",
  list(data = mget(frames), fits = fits, ratios = ratios, least_squares = least_squares), digits = 10
)
