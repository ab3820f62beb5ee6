// Package fronts holds the front for Kratos v3 against that for v2.
package fronts
