// Package badinput holds the tables of input that breaks a rule, or keeps one
// where that is not plain: topics, packets, configurations. Each line of a table
// names the rule, what is particular about the case, and what is expected.
// Tests of the packages that the input is for read them.
//
// A table is text: columns are separated by tabs, lines that start with # are
// comments. The first columns, up to the case, name a line and occur once:
// permutations of one case are one line.
package badinput
