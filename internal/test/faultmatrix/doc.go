// Package faultmatrix holds the public packages against the fault matrix: each row
// is one named test, which makes the fault and judges by message ids what was
// lost, what came twice, and what a caller or an operator could see of it.
//
// Clients are made by the harness of this package only. It plants credentials,
// keeps all that is logged, returned and told to hooks, and fails the test when
// a secret is in it, or when a goroutine of the row is left at its end.
//
// Rows that measure log a line "figure: <name> <value>"; see it with -v.
package faultmatrix
