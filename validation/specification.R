# Reference values for equivalence beside a norm and between groups, and for a small specification table:
# Rscript validation/specification.R
source("validation/reference.R")

# --- A toy study: 48 people of 8 therapists, three waves, some leave. Scores are whole numbers, higher is worse.
set.seed(20260401)
n <- 48
therapist <- rep(1:8, each = 6)
level <- rnorm(8, 0, 1.5)[therapist]
w0 <- round(20 + level + rnorm(n, 0, 5))
w1 <- round(w0 - 3 + rnorm(n, 0, 4))
w2 <- round(w0 - 5 + level / 2 + rnorm(n, 0, 5))
w1[c(5, 17, 30, 41)] <- NA
w2[c(5, 9, 17, 22, 33, 40, 46)] <- NA
reliabilities <- c(study = .9, alpha = .82)
functional <- c(mean = 8, sd = 5)
instrument <- 12 # a score from 12 on is clinical

# --- TOST against a norm: the plain mean by t.test, a norm of known n by Welch's formula, CR1 written out.
one_sided <- function(estimate, se, df, low, high) {
  list(
    estimate = estimate, std_error = se, df = df, p_low = pt((estimate - low) / se, df, lower.tail = FALSE),
    p_high = pt((estimate - high) / se, df), p_difference = 2 * pt(-abs(estimate) / se, df),
    ci = estimate + c(-1, 1) * qt(.95, df) * se
  )
}
cr1 <- function(u, g) {
  s <- tapply(u, g, sum)
  list(variance = length(s) / (length(s) - 1) * sum(s^2) / length(u)^2, df = length(s) - 1)
}
end <- w2[!is.na(w2)]
g_end <- therapist[!is.na(w2)]
known <- t.test(end, mu = functional["mean"])
fixed <- one_sided(mean(end) - functional[["mean"]], known$stderr, known$parameter[["df"]], -2.5, 2.5)
fixed$p_low_t_test <- t.test(end, mu = functional[["mean"]] - 2.5, alternative = "greater")$p.value
part <- c(var(end) / length(end), functional[["sd"]]^2 / 40)
welch <- one_sided(
  mean(end) - functional[["mean"]], sqrt(sum(part)), sum(part)^2 / (part[1]^2 / (length(end) - 1) + part[2]^2 / 39), -2.5, 2.5
)
robust <- cr1(end - mean(end), g_end)
part <- c(robust$variance, functional[["sd"]]^2 / 40)
clustered <- one_sided(
  mean(end) - functional[["mean"]], sqrt(sum(part)), sum(part)^2 / (part[1]^2 / robust$df + part[2]^2 / 39), -2.5, 2.5
)

# --- Two groups in pooled SDs: least squares by lm, HC2 by its leverages, the SD's own error by the delta method.
earned <- seq_len(n) %% 3 == 0
groups <- function(adjusted, clusters) {
  keep <- !is.na(w2)
  y <- w2[keep]
  e <- earned[keep]
  fit <- if (adjusted) lm(y ~ e + w0[keep]) else lm(y ~ e)
  x <- model.matrix(fit)
  own <- length(y) * (x %*% solve(crossprod(x)))[, 2] * resid(fit) / sqrt(1 - hatvalues(fit))
  r <- resid(lm(y ~ e))
  s <- sqrt(sum(r^2) / (length(y) - 2))
  d <- coef(fit)[[2]] / s
  u <- own / s - d / 2 * (r^2 - mean(r^2)) / s^2
  if (clusters) {
    found <- cr1(u, therapist[keep])
  } else {
    found <- cr1(u, seq_along(u))
    parts <- tapply((own / s)^2, e, sum)
    sizes <- tapply(y, e, length)
    found$df <- sum(parts)^2 / sum(parts^2 / (sizes - 1))
  }
  one_sided(d, sqrt(found$variance), found$df, -.3, .3)
}
two <- list(
  unadjusted = groups(FALSE, FALSE), adjusted = groups(TRUE, FALSE), unadjusted_therapists = groups(FALSE, TRUE),
  adjusted_therapists = groups(TRUE, TRUE)
)

# --- Specifications: JT and GLN, two reliabilities, cutoffs a, b, c and the instrument's, two ends, three handlings.
z <- qnorm(.975)
wilson <- function(p, n) {
  m <- (p + z^2 / (2 * n)) / (1 + z^2 / n)
  h <- z * sqrt(p * (1 - p) / n + z^2 / (4 * n^2)) / (1 + z^2 / n)
  c(m - h, m + h)
}
share <- function(event, g) {
  n <- length(event)
  p <- mean(event)
  plain <- wilson(p, n)
  if (p == 0 || p == 1) return(list(estimate = p, independent = plain, therapists = plain))
  found <- cr1(event - p, g)
  size <- n / max(found$variance / (p * (1 - p) / n), 1) * (z / qt(.975, found$df))^2
  list(estimate = p, independent = plain, therapists = wilson(p, max(size, 1)))
}
d_of <- function(x, y, g) {
  change <- -(y - x)
  s <- sd(x)
  d <- mean(change) / s
  q <- ((x - mean(x)) / s)^2
  u <- (change - mean(change)) / s - d / 2 * (q - mean(q))
  limits <- function(f) d + c(-1, 1) * qt(.975, f$df) * sqrt(f$variance)
  list(estimate = d, independent = limits(cr1(u, seq_along(u))), therapists = limits(cr1(u, g)))
}
last_seen <- ifelse(!is.na(w1), w1, w0)
ends <- list(`first to last` = ifelse(!is.na(w2), w2, w1), `first to wave 2` = w2)
table <- list()
for (at in names(ends)) {
  y <- ends[[at]]
  both <- !is.na(y)
  m1 <- mean(w0[both])
  s1 <- sd(w0[both])
  cut <- c(a = m1 - 2 * s1, b = functional[["mean"]] + 2 * functional[["sd"]])
  cut["c"] <- (functional[["sd"]] * m1 + s1 * functional[["mean"]]) / (functional[["sd"]] + s1)
  cut["instrument"] <- instrument
  before_end <- if (at == "first to last") w0 else last_seen
  handled <- list(
    `complete pairs` = y, `last value carried forward` = ifelse(both, y, before_end), `best case` = ifelse(both, y, 0)
  )
  for (how in names(handled)) {
    x2 <- handled[[how]]
    keep <- !is.na(x2)
    add <- function(found, ...) {
      table[[length(table) + 1]] <<- data.frame(
        occasions = at, handling = how, ..., estimate = found$estimate, low = found$independent[1], high = found$independent[2],
        low_therapists = found$therapists[1], high_therapists = found$therapists[2], n = sum(keep)
      )
    }
    add(d_of(w0[keep], x2[keep], therapist[keep]), estimand = "standardised_improvement", rule = "not used", source = "not used", cutoff = "not used")
    for (source in names(reliabilities)) {
      r <- reliabilities[[source]]
      statistic <- list(
        JT = (x2 - w0) / (s1 * sqrt(2 * (1 - r))), GLN = ((x2 - m1) - r * (w0 - m1)) / (s1 * sqrt(1 - r^2))
      )
      for (rule in names(statistic)) {
        better <- statistic[[rule]] < -z
        add(share(better[keep], therapist[keep]), estimand = "reliably_improved", rule = rule, source = source, cutoff = "not used")
        for (kind in names(cut)) {
          left <- if (kind == "instrument") w0 >= cut[kind] else w0 > cut[kind]
          event <- better & left & x2 < cut[kind]
          add(share(event[keep], therapist[keep]), estimand = "recovered", rule = rule, source = source, cutoff = kind)
        }
      }
    }
  }
}
specifications <- do.call(rbind, table)

# --- Variance shares: the gain in R squared of an additive model, averaged over all orders, by anova.
orders <- function(v) if (length(v) < 2) list(v) else do.call(c, lapply(v, function(f) lapply(orders(setdiff(v, f)), function(o) c(f, o))))
recovered <- subset(specifications, estimand == "recovered" & handling != "best case")
recovered <- recovered[!(recovered$rule == "GLN" & recovered$cutoff == "a"), ] # a hole, so that orders differ
shares <- rowMeans(sapply(orders(c("rule", "source", "cutoff", "occasions", "handling")), function(o) {
  a <- anova(lm(reformulate(o, "estimate"), recovered))
  setNames(a[o, "Sum Sq"] / sum(a[, "Sum Sq"]), o)[c("rule", "source", "cutoff", "occasions", "handling")]
}))

# --- Signs: eight people, all 256 patterns; the median over two specifications.
signs <- as.matrix(expand.grid(rep(list(c(-1, 1)), 8)))
few <- which(!is.na(w1) & !is.na(w2))[1:8]
d_few <- function(s, y) colMeans(t(s) * -(y[few] - w0[few])) / sd(w0[few])
medians <- apply(cbind(d_few(signs, w1), d_few(signs, w2)), 1, median)
seen <- median(c(mean(-(w1[few] - w0[few])), mean(-(w2[few] - w0[few])))) / sd(w0[few])
flips <- list(pre = w0[few], first = w1[few], second = w2[few], median = seen, p = mean(abs(medians) >= abs(seen) - 1e-12))

write_reference(
  "specification",
  call = "t.test, lm, hatvalues, anova; CR1, Wilson's interval at the effective n, cutoffs, statistics and sign patterns written out",
  values = list(
    data = data.frame(therapist = therapist, w0 = w0, w1 = w1, w2 = w2, earned = earned),
    reliability = as.list(reliabilities), functional = as.list(functional), instrument = instrument,
    norm = list(fixed = fixed, welch = welch, clustered = clustered), groups = two, specifications = specifications,
    variance_shares = as.list(shares), sign_flips = flips
  )
)
