# Reference values for the association of parents' and children's classes.
source("validation/reference.R")
suppressPackageStartupMessages({
  library(vcd)
  library(psych)
  library(sandwich)
  library(clubSandwich)
})

models <- function(x) {
  k <- nrow(x)
  d <- data.frame(n = as.vector(x), row = factor(row(x)), col = factor(col(x)))
  d$diagonal <- factor(ifelse(d$row == d$col, as.integer(d$row), 0))
  d$pair <- factor(paste(pmin(as.integer(d$row), as.integer(d$col)), pmax(as.integer(d$row), as.integer(d$col))))
  one <- function(formula) {
    fit <- glm(formula, poisson, d, epsilon = 1e-12, maxit = 100)
    list(
      g2 = deviance(fit), x2 = sum(residuals(fit, "pearson")^2), df = df.residual(fit),
      p_value = pchisq(sum(residuals(fit, "pearson")^2), df.residual(fit), lower.tail = FALSE),
      bic = deviance(fit) - df.residual(fit) * log(sum(x)), fitted = unname(matrix(fitted(fit), k))
    )
  }
  out <- list(independence = one(n ~ row + col), symmetry = one(n ~ pair))
  if (k > 2) {
    out[["quasi-independence"]] <- one(n ~ row + col + diagonal)
    out[["quasi-symmetry"]] <- one(n ~ row + col + pair)
  }
  out
}

entropy <- function(p) -sum(p[p > 0] * log(p[p > 0]))
square <- function(x) {
  fit <- Kappa(x)
  n <- sum(x)
  test <- suppressWarnings(chisq.test(x, correct = FALSE))
  p <- x / n
  k <- nrow(x)
  phi2 <- unname(test$statistic) / n
  tilde <- k - (k - 1)^2 / (n - 1)
  list(
    table = unname(x), n = n, agreement = sum(diag(x)) / n,
    kappa = unname(fit$Unweighted["value"]), ase = unname(fit$Unweighted["ASE"]),
    psych_kappa = cohen.kappa(x)$kappa,
    chi_square = unname(test$statistic), p_value = test$p.value, residuals = unname(test$stdres),
    cramers_v = assocstats(as.table(x))$cramer,
    cramers_v_corrected = sqrt(max(0, phi2 - (k - 1)^2 / (n - 1)) / (tilde - 1)),
    lambda = (sum(apply(x, 1, max)) - max(colSums(x))) / (n - max(colSums(x))),
    uncertainty = (entropy(colSums(p)) + entropy(rowSums(p)) - entropy(p)) / entropy(colSums(p)),
    bowker = unname(suppressWarnings(mcnemar.test(x, correct = FALSE))$statistic),
    row_shares = unname(prop.table(x, 1)), models = models(x)
  )
}

# Koopman's limits by brute force: the score statistic is the chi-square distance of the table from the most likely one with that ratio.
koopman <- function(x1, n1, x2, n2, level = .95) {
  distance <- function(ratio) {
    loglik <- function(p2) sum(dbinom(c(x1, x2), c(n1, n2), c(ratio * p2, p2), log = TRUE))
    top <- min(1, 1 / ratio)
    p2 <- optimize(loglik, c(1e-12, top - 1e-12), maximum = TRUE, tol = 1e-13)$maximum
    p1 <- ratio * p2
    (x1 - n1 * p1)^2 / (n1 * p1 * (1 - p1)) + (x2 - n2 * p2)^2 / (n2 * p2 * (1 - p2))
  }
  target <- function(log_ratio) distance(exp(log_ratio)) - qchisq(level, 1)
  middle <- log((x1 / n1) / (x2 / n2))
  exp(c(uniroot(target, c(middle - 4, middle), tol = 1e-12)$root, uniroot(target, c(middle, middle + 4), tol = 1e-12)$root))
}

# Cells that give the statistics known for the literature, but that were recalled and not read in a source: fixtures, not data.
recalled <- list(
  two_way = matrix(c(304, 67, 98, 192), 2, byrow = TRUE),
  four_way = matrix(c(62, 29, 14, 11, 24, 210, 14, 39, 3, 9, 10, 6, 19, 26, 10, 62), 4, byrow = TRUE)
)
# One made-up study of 120 pairs, by its codes, read in five ways.
parents <- rep(c("Ds", "F", "E", "U/F", "U/Ds", "U"), c(28, 50, 12, 14, 10, 6))
children <- c(
  rep(c("A", "B", "C", "D/B", "D/A", "D"), c(14, 7, 2, 1, 3, 1)), rep(c("A", "B", "C", "D/B", "D/A", "D"), c(6, 35, 3, 4, 1, 1)),
  rep(c("A", "B", "C", "D/B", "D/A", "D"), c(2, 4, 4, 1, 0, 1)), rep(c("A", "B", "C", "D/B", "D/A", "D"), c(1, 4, 1, 5, 1, 2)),
  rep(c("A", "B", "C", "D/B", "D/A", "D"), c(2, 1, 1, 1, 4, 1)), rep(c("A", "B", "C", "D/B", "D/A", "D"), c(1, 1, 0, 1, 1, 2))
)
main <- function(x) sub("/.*", "", x)
forced <- function(x) ifelse(grepl("/", x), sub(".*/", "", x), ifelse(x %in% c("U", "D"), NA, x))
cross <- function(p, c, rows, cols) matrix(as.integer(table(factor(p, rows), factor(c, cols))), length(rows))
secure <- function(x) ifelse(is.na(x), NA, ifelse(x %in% c("F", "B"), "secure", "insecure"))
both <- c("secure", "insecure")
ways <- list(
  "4-way" = cross(main(parents), main(children), c("Ds", "F", "E", "U"), c("A", "B", "C", "D")),
  "3-way" = cross(forced(parents), forced(children), c("Ds", "F", "E"), c("A", "B", "C")),
  "2-way, unresolved insecure" = cross(secure(main(parents)), secure(main(children)), both, both),
  "2-way, forced" = cross(secure(forced(parents)), secure(forced(children)), both, both),
  "2-way, disorganised" = cross(main(parents) == "U", main(children) == "D", c(FALSE, TRUE), c(FALSE, TRUE))
)

# Pairs of 24 families with one to six pairs each: logistic regression with CR2 and Satterthwaite's degrees of freedom.
family <- rep(1:24, times = rep(c(2, 4, 6, 1, 2, 3), 4))
parent <- as.integer((seq_along(family) * 7) %% 11 < 5)
child <- as.integer((seq_along(family) * 5 + 6 * parent + 3 * (family %% 3 == 0)) %% 13 < 6)
fit <- glm(child ~ parent, binomial, epsilon = 1e-14, maxit = 100)
robust <- coef_test(fit, vcov = "CR2", cluster = family, test = "Satterthwaite")
risks <- list(c(192, 290, 67, 371), c(9, 10, 3, 10), c(7, 9, 8, 31), c(5, 40, 11, 45))
calls <- paste(
  "vcd::Kappa, vcd::assocstats, psych::cohen.kappa, chisq.test, mcnemar.test, glm(poisson), clubSandwich::coef_test(glm, CR2);",
  "lambda, uncertainty, corrected V by their formulas; Koopman's limits by optimize and uniroot"
)
write_reference("concordance", calls, list(
  recalled = lapply(recalled, square), ways = lapply(ways, square), parents = parents, children = children,
  clustered = list(
    family = family, parent = parent, child = child, log_odds_ratio = unname(coef(fit)[2]),
    std_error = robust$SE[2], df = robust$df_Satt[2], p_value = robust$p_Satt[2]
  ),
  koopman = lapply(risks, function(r) list(x1 = r[1], n1 = r[2], x2 = r[3], n2 = r[4], ci = koopman(r[1], r[2], r[3], r[4])))
), digits = 12)
