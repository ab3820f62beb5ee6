package session

import "unsafe"

// stringBytes returns s as bytes without a copy. They must not be changed;
// encoding copies them anyway.
func stringBytes(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// bytesString returns b as a string without a copy. b must not be changed any
// more.
func bytesString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
