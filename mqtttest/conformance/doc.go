// Package conformance has a suite that holds any broker of kratos-transport to what its users
// may expect. It is apart from package mqtttest because it links kratos-transport, and with it
// Kratos v2, which tests of a service on Kratos v3 must not.
package conformance
