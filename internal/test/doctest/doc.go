// Package doctest has the code that README.md and docs/ show, so that it
// compiles and runs, and the tests that hold their blocks, tables and links
// against the code. A service made from this layout that has other documents
// deletes the package.
package doctest
