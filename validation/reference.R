# The one way in which reference values are written. A script of this folder begins with source("validation/reference.R"), is run
# from the project's folder (Rscript validation/NAME.R) and ends with write_reference(). The file holds, before the values, the
# script, what it called, and the versions of R and of every attached package. It has no date: it repeats byte for byte.
# `Rscript validation/NAME.R FOLDER` writes somewhere else, to compare.

# name      of the file in tests/reference, without .json
# call      what was called, for people; a part of the values may have an own `call`
# values    a named list. Single numbers lose their brackets, tables are written by column, missing values are null
# digits    significant ones; fewer where an optimiser's last digits depend on the machine's mood
write_reference <- function(name, call, values, digits = 15) {
  script <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))
  given <- commandArgs(trailingOnly = TRUE)
  packages <- sort(union("jsonlite", names(sessionInfo()$otherPkgs)), method = "radix")
  versions <- lapply(setNames(packages, packages), function(p) as.character(packageVersion(p)))
  head <- list(script = file.path("validation", basename(script)), call = call, r_version = R.version.string, packages = versions)
  stopifnot(!any(names(values) %in% names(head)))
  text <- jsonlite::toJSON(
    c(head, values),
    digits = I(digits), auto_unbox = TRUE, na = "null", null = "null", dataframe = "columns", matrix = "rowmajor", pretty = TRUE
  )
  file <- file(file.path(if (length(given)) given[1] else "tests/reference", paste0(name, ".json")), "wb")
  on.exit(close(file))
  writeLines(text, file, sep = "\n", useBytes = TRUE)
}
