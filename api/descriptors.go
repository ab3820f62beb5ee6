// Package api has what all events of the service have in common.
package api

import _ "embed" // the descriptors

//go:embed descriptors.binpb
var descriptors string

// Descriptors returns a google.protobuf.FileDescriptorSet of the .proto files of the service with
// their comments, which are not linked into programs. Their imports are.
func Descriptors() []byte { return []byte(descriptors) }
