# Three generations: log-linear models of conditional independence (MASS::loglm, stats::loglin), Mantel and Haenszel's test and odds
# ratio, asymptotic and exact (mantelhaen.test), the generalised statistic, powers of transition matrices, and a chain of true classes
# read with error, fitted by a general optimiser.
source("validation/reference.R")

# Grandparent x parent x child, made up: two, three and four classes; the last is sparse.
two <- array(c(31, 9, 12, 14, 8, 11, 10, 35), c(2, 2, 2))
set.seed(20261122)
shares <- c(.19, .5, .11, .2)
P <- .45 * diag(4) + .55 * matrix(shares, 4, 4, byrow = TRUE)
draw <- function(n, k) {
  g <- sample(4, n, TRUE, shares)
  p <- sapply(g, function(i) sample(4, 1, prob = P[i, ]))
  c <- sapply(p, function(i) sample(4, 1, prob = P[i, ]))
  table(factor(g, 1:4), factor(p, 1:4), factor(c, 1:4))[1:k, 1:k, 1:k]
}
three <- unclass(draw(160, 3))
four <- unclass(draw(70, 4))
dimnames(three) <- dimnames(four) <- NULL

order_of <- function(x) {
  fit <- MASS::loglm(~ 1:2 + 2:3, data = x)
  strata <- aperm(x, c(1, 3, 2))
  seen <- apply(strata, 3, function(s) max(sum(rowSums(s) > 0) - 1, 0) * max(sum(colSums(s) > 0) - 1, 0))
  expected <- loglin(x, list(c(1, 2), c(2, 3)), fit = TRUE, print = FALSE)$fit
  kept <- expected > 0
  test <- tryCatch(mantelhaen.test(strata[, , apply(strata, 3, sum) > 1], correct = FALSE), error = function(e) NULL)
  excess <- sum(sapply(1:dim(x)[2], function(s) sum(diag(x[, s, ])) - sum(diag(expected[, s, ]))))
  room <- sum(x) - sum(sapply(1:dim(x)[2], function(s) sum(diag(expected[, s, ]))))
  list(
    table = x, g2 = fit$lrt, x2 = sum((x - expected)[kept]^2 / expected[kept]), df = sum(seen),
    cmh = unname(test$statistic), cmh_p = test$p.value, cmh_df = unname(test$parameter), kappa = excess / room
  )
}
strata <- aperm(two, c(1, 3, 2))
plain <- mantelhaen.test(strata, correct = FALSE)
exact <- mantelhaen.test(strata, exact = TRUE)
small <- array(c(3, 1, 0, 2, 1, 0, 1, 4), c(2, 2, 2))
small_exact <- mantelhaen.test(aperm(small, c(1, 3, 2)), exact = TRUE)
part <- function(t) list(odds_ratio = unname(t$estimate), ci_low = t$conf.int[1], ci_high = t$conf.int[2], p_value = t$p.value)

# Projections: powers, the long run (left eigenvector) and the mean of the other eigenvalues.
counts <- apply(three, 1:2, sum) + apply(three, 2:3, sum)
M <- counts / rowSums(counts)
start <- rowSums(apply(three, 2:3, sum)) / sum(three)
step <- function(k) Reduce(`%*%`, rep(list(M), k), diag(3))
left <- Re(eigen(t(M))$vectors[, 1])
projection <- list(
  counts = counts, start = start, matrix = M, after_1 = drop(start %*% M), after_4 = drop(start %*% step(4)), power_4 = step(4),
  long_run = left / sum(left), left = mean(Re(eigen(M)$values)[-which.max(Mod(eigen(M)$values))]),
  half_life = log(.5) / log(mean(Re(eigen(M)$values)[-which.max(Mod(eigen(M)$values))]))
)

# True classes first-order, read with errors rho I + (1 - rho) 1 m': maximum likelihood over softmax parameters, by Nelder and Mead
# and BFGS from several starts.
hidden <- function(x, kappa) {
  k <- dim(x)[1]
  A <- lapply(1:3, function(i) {
    m <- apply(x, i, sum) / sum(x)
    sqrt(kappa) * diag(k) + (1 - sqrt(kappa)) * matrix(m, k, k, byrow = TRUE)
  })
  shares <- function(v) {
    w <- matrix(exp(c(v, rep(0, length(v) / (k - 1)))), ncol = k)
    w / rowSums(w)
  }
  model <- function(v) {
    first <- shares(v[1:(k - 1)])
    one <- shares(v[k:(k - 1 + k * (k - 1))])
    two <- shares(v[(k + k * (k - 1)):length(v)])
    out <- array(0, dim(x))
    for (a in 1:k) for (b in 1:k) for (c in 1:k)
      out <- out + first[a] * one[a, b] * two[b, c] * (A[[1]][a, ] %o% A[[2]][b, ] %o% A[[3]][c, ])
    out
  }
  loss <- function(v) -sum(x * log(model(v)))
  best <- NULL
  for (s in 1:4) {
    v <- rnorm((k - 1) * (2 * k + 1), 0, .5)
    for (i in 1:3) {
      v <- optim(v, loss, control = list(maxit = 20000, reltol = 1e-14))$par
      v <- optim(v, loss, method = "BFGS", control = list(maxit = 5000, reltol = 1e-15))$par
    }
    if (is.null(best) || loss(v) < loss(best)) best <- v
  }
  fit <- model(best)
  list(table = x, kappa = kappa, g2 = 2 * sum(ifelse(x > 0, x * log(x / sum(x) / fit), 0)), read = fit)
}

write_reference(
  "generations_reference",
  call = "MASS::loglm(~ 1:2 + 2:3), loglin(list(c(1, 2), c(2, 3))), mantelhaen.test(correct = FALSE), mantelhaen.test(exact = TRUE), eigen, optim",
  values = list(
    two = order_of(two), three = order_of(three), four = order_of(four),
    mantel_haenszel = part(plain), exact = part(exact), small = c(list(table = small), part(small_exact)),
    projection = projection, hidden = hidden(two, .6)
  ),
  digits = 12
)
