// Package eventproto reads services of events from the descriptors that protoc and buf
// pass to a plugin, applies the defaults of their options and validates them. Both
// generators are based on it.
package eventproto
