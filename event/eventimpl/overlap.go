package eventimpl

import "strings"

// Overlap reports whether one topic name can match both filters
// [MQTT-4.7.1, 4.7.2].
func Overlap(a, b string) bool {
	x, y := strings.Split(a, "/"), strings.Split(b, "/")
	if dollar(x[0]) != dollar(y[0]) && (wild(x[0]) || wild(y[0])) {
		return false // a wildcard at the start does not match $
	}
	for i := 0; ; i++ {
		switch {
		case i == len(x) && i == len(y):
			return true
		case i == len(x):
			return y[i] == "#" // a/# matches a
		case i == len(y):
			return x[i] == "#"
		case x[i] == "#" || y[i] == "#":
			return true
		case x[i] != y[i] && x[i] != "+" && y[i] != "+":
			return false
		}
	}
}

func dollar(level string) bool { return strings.HasPrefix(level, "$") }
func wild(level string) bool   { return level == "+" || level == "#" }
