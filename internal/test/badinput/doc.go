// Package badinput has tables of input that breaks a rule, or that keeps one although that is not
// obvious: topics, packets, configurations. Each line of a table has the rule, the special feature
// of the case, and the expected result. Tests of the packages that process the input read them.
//
// A table is text with columns separated by tabs; lines that start with # are comments. The first
// columns, up to the case, identify a line and must be unique: permutations of one case are one
// line.
package badinput
