// Package eventproto reads services of events from the descriptors that protoc
// and buf hand to a plugin, resolves the defaults of their options and checks
// everything that can be wrong with them. Both generators stand on it.
package eventproto
