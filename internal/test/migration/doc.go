// Package migration has a program that was written for the MQTT packages of kratos-transport,
// and tests that it builds here after a change of the import prefix, and behaves as
// docs/guide/migrating.md says.
package migration
