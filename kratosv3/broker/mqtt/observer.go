package mqtt

import (
	"log/slog"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/option"
)

// ConfigObserver returns an observer for Watch of Kratos' config, whose config.Value V is; so
// a service that does not use that package need not link it. The watched key must have
// the form of [v1.Settings]; each change is passed to Reload of the targets, which are brokers
// and servers. A change that is not valid is logged as an error and has no effect, and each
// setting that needs a restart is logged as a warning. Kratos merges a changed file into what
// it has: a key that is removed from the file keeps its value; package configfile has a
// watcher that sees it. A nil logger means the default one.
func ConfigObserver[V interface{ Scan(to any) error }](logger *slog.Logger, targets ...interface{ Reload(c *v1.Settings) error }) func(key string, value V) {
	l := SafeLogger(logger)
	warn, fail := func(line string) { l.Warn(line) }, func(line string) { l.Error(line) }
	return func(key string, value V) { option.Reload(key, value.Scan, targets, warn, fail) }
}
