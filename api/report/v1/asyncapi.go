// Package v1 holds the messages of the reports service: its API and its events.
package v1

import _ "embed" // the contract

//go:embed report.asyncapi.yaml
var asyncAPI string

// AsyncAPI returns the contract of the report events, an AsyncAPI 3.0 document in YAML.
func AsyncAPI() string { return asyncAPI }
