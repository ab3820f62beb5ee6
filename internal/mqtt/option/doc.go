// Package option has what the two fronts, broker/mqtt and transport/mqtt, pass to each other
// and users do not see: the settings behind the options of kratos-transport.
package option
