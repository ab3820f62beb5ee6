// Package repotest has the tests of the repository as a whole: which package may import
// which, how long a file may be, and that a copy made by `kratos new` builds and runs.
package repotest
