package conf

import (
	"path/filepath"

	"github.com/go-kratos/kratos/v2/log"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/configfile"
	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// MinLevel returns the least severe level that is logged.
func (l *Log) MinLevel() log.Level {
	if l.GetLevel() == "" {
		return log.LevelInfo
	}
	return log.ParseLevel(l.GetLevel())
}

func (l *Log) check() error {
	switch l.GetLevel() {
	case "", "debug", "info", "warn", "error":
		return nil
	}
	return problem("log.level", "is not known, want debug, info, warn or error")
}

// Watch returns a watcher that passes a changed configuration file to apply, as Load reads
// it.
func Watch(path string, logger log.Logger, check, apply func(*Bootstrap) error) *configfile.Watcher {
	return configfile.NewWatcher(path, log.NewHelper(logger),
		func(b *Bootstrap) error { return joinChecks(b, check) },
		func(b *Bootstrap) error {
			b.clean(filepath.Dir(path))
			return apply(b)
		})
}

// Restarts returns an error for each setting that differs in next and is used after a
// restart only. What brokers and servers reload, and report themselves, is left out.
func (b *Bootstrap) Restarts(next *Bootstrap) (errs []error) {
	old, now := b.fixed(), next.fixed()
	if (b.GetServer().GetMqtt() == nil) != (next.GetServer().GetMqtt() == nil) {
		errs = append(errs, needsRestart("server.mqtt"))
	}
	return append(errs, differences(old.ProtoReflect(), now.ProtoReflect(), "")...)
}

// fixed returns a copy without what is reloaded.
func (b *Bootstrap) fixed() *Bootstrap {
	c := proto.CloneOf(b)
	c.Log = nil
	if c.Mqtt == nil {
		c.Mqtt = new(MQTT)
	}
	c.Mqtt.Connection, c.Mqtt.Publisher = new(kratosmqttv1.Connection), nil
	if c.Server != nil {
		c.Server.Mqtt = nil
	}
	return c
}

func needsRestart(key string) error {
	return &event.SettingError{Key: key, Text: event.ErrNeedsRestart.Error(), Cause: event.ErrNeedsRestart}
}

// differences returns an error for each setting that differs.
func differences(old, now protoreflect.Message, path string) (errs []error) {
	fields := old.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if old.Has(f) == now.Has(f) && old.Get(f).Equal(now.Get(f)) {
			continue
		}
		key := path + string(f.Name())
		if f.Message() != nil && !f.IsMap() && !f.IsList() && f.Message().FullName() != "google.protobuf.Duration" && old.Has(f) && now.Has(f) {
			errs = append(errs, differences(old.Get(f).Message(), now.Get(f).Message(), key+".")...)
			continue
		}
		errs = append(errs, needsRestart(key))
	}
	return errs
}
