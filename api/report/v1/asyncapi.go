// Package v1 holds the reports, the events that carry them and the queries on what
// was stored of them.
package v1

import _ "embed" // the contract

//go:embed report.asyncapi.yaml
var asyncAPI string

// AsyncAPI is the contract of the events of reports, an AsyncAPI 3.0 document in YAML.
func AsyncAPI() string { return asyncAPI }
