package v1

import _ "embed" // the contract

//go:embed device.asyncapi.yaml
var asyncAPI string

// AsyncAPI returns the contract of the device events, an AsyncAPI 3.0 document in YAML.
func AsyncAPI() string { return asyncAPI }
