// Package e2e tests the built binary of the reference service as a user runs
// it: real processes, real brokers, real requests.
package e2e
