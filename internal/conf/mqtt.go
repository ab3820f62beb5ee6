package conf

import (
	"errors"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
)

// The drivers of the outbox, the dedup window and the dead letters.
const (
	DriverFile     = "file"
	DriverSQL      = "sql"
	DriverMemory   = "memory"
	DriverRetained = "retained"
	DriverNone     = "none"
)

// OutboxDriver is how messages wait for the broker: DriverNone unless
// configured.
func (m *MQTT) OutboxDriver() string { return or(m.GetOutbox().GetDriver(), DriverNone) }

// DedupDriver is how the effects of messages happen once: in the database where
// there is one, unless configured.
func (b *Bootstrap) DedupDriver() string {
	return or(b.GetMqtt().GetDedup().GetDriver(), b.ifDatabase(DriverNone))
}

// DeadLettersDriver is where messages are kept that cannot be handled: unless
// configured in the database, without one in the file that is named, else at the
// broker.
func (b *Bootstrap) DeadLettersDriver() string {
	letters := b.GetMqtt().GetDeadLetters()
	otherwise := DriverRetained
	if letters.GetPath() != "" {
		otherwise = DriverFile
	}
	return or(letters.GetDriver(), b.ifDatabase(otherwise))
}

// Settings are all messages of kratosmqtt.v1, with the drivers that are meant
// where none is configured.
func (b *Bootstrap) Settings() *kratosmqttv1.Settings {
	m := b.GetMqtt()
	s := &kratosmqttv1.Settings{
		Connection: m.GetConnection(), Publisher: m.GetPublisher(), Subscriber: b.GetServer().GetMqtt(),
		Outbox: proto.CloneOf(m.GetOutbox()), Dedup: proto.CloneOf(m.GetDedup()), DeadLetters: proto.CloneOf(m.GetDeadLetters()),
	}
	if s.Dedup == nil {
		s.Dedup = new(kratosmqttv1.Dedup)
	}
	if s.DeadLetters == nil {
		s.DeadLetters = new(kratosmqttv1.DeadLetters)
	}
	s.Dedup.Driver, s.DeadLetters.Driver = b.DedupDriver(), b.DeadLettersDriver()
	if s.Subscriber == nil { // nothing to keep
		s.DeadLetters = nil
	}
	return s
}

func (b *Bootstrap) ifDatabase(otherwise string) string {
	if b.GetData().GetDatabase() != nil {
		return DriverSQL
	}
	return otherwise
}

func or(configured, otherwise string) string {
	if configured != "" {
		return configured
	}
	return otherwise
}

// checkStores reports what is wrong with the places where messages are kept.
func (b *Bootstrap) checkStores() error {
	m := b.GetMqtt()
	outbox, letters := m.OutboxDriver(), b.DeadLettersDriver()
	return errors.Join(
		b.checkDriver("mqtt.outbox", outbox, DriverFile, DriverSQL, DriverMemory, DriverNone),
		checkPath("mqtt.outbox", outbox, m.GetOutbox().GetPath(), EnvOutboxPath),
		notNegative("mqtt.outbox.hold", m.GetOutbox().GetHold()),
		b.checkDriver("mqtt.dedup", b.DedupDriver(), DriverSQL, DriverMemory, DriverNone),
		notNegative("mqtt.dedup.window", m.GetDedup().GetWindow()),
		b.checkDriver("mqtt.dead_letters", letters, DriverSQL, DriverFile, DriverRetained),
		checkPath("mqtt.dead_letters", letters, m.GetDeadLetters().GetPath(), ""),
		notNegative("mqtt.dead_letters.park_limit", m.GetDeadLetters().GetParkLimit()),
	)
}

func (b *Bootstrap) checkDriver(section, driver string, want ...string) error {
	if !slices.Contains(want, driver) {
		return problem(section+".driver", "want one of %s", strings.Join(want, ", "))
	}
	if driver == DriverSQL && b.GetData().GetDatabase() == nil {
		return problem(section+".driver", "%s needs a database, but data.database is not configured", driver)
	}
	return nil
}

func checkPath(section, driver, path, variable string) error {
	if driver != DriverFile || path != "" {
		return nil
	}
	if variable != "" {
		return problem(section+".path", "empty, set %s", variable)
	}
	return problem(section+".path", "empty, want the path of a file")
}

func notNegative(field string, d *durationpb.Duration) error {
	if d.AsDuration() < 0 {
		return problem(field, "is %s, want 0 or more", d.AsDuration())
	}
	return nil
}
