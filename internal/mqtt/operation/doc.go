// Package operation has what the server layers of all fronts share: handlers behind the
// middleware of their operation, and the services that generated code registers. It knows no
// version of Kratos: a front hands in functions, and converts its middleware, which have the
// same shape in each version.
package operation
