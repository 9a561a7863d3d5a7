"""Pictures of how right and how fast the library is, made from the files of validation/."""
