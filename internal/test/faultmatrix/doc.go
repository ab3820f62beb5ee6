// Package faultmatrix tests the public packages against the fault matrix. Each row is a
// named test, which causes the fault and determines by message ids what was lost, what was
// duplicated, and what callers and operators could see of it.
//
// Only the harness of this package creates clients. It plants credentials, records
// everything that is logged, returned and reported to hooks, and fails the test if a secret
// occurs in it, or if a goroutine of the row is left at the end.
//
// Rows that measure log a line "figure: <name> <value>"; -v shows it.
package faultmatrix
