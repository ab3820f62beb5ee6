package session

import "unsafe"

// stringBytes views s as bytes that must not be written: it saves the copy
// that encoding makes anyway.
func stringBytes(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// bytesString views b, which nobody writes any more, as a string.
func bytesString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
