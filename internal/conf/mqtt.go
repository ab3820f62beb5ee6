package conf

import (
	"cmp"

	"google.golang.org/protobuf/proto"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event/stores"
)

// Drivers of the outbox, the dedup window and the dead letters.
const (
	DriverFile     = stores.DriverFile
	DriverSQL      = stores.DriverSQL
	DriverMemory   = stores.DriverMemory
	DriverRetained = stores.DriverRetained
	DriverNone     = stores.DriverNone
)

// OutboxDriver returns the configured driver of the outbox. Default: DriverNone.
func (m *MQTT) OutboxDriver() string { return cmp.Or(m.GetOutbox().GetDriver(), DriverNone) }

// DedupDriver returns the configured driver of the dedup window. Default: DriverSQL
// if there is a database.
func (b *Bootstrap) DedupDriver() string {
	return cmp.Or(b.GetMqtt().GetDedup().GetDriver(), b.ifDatabase(DriverNone))
}

// DeadLettersDriver returns the configured driver of the dead letters. Default: the
// database; without one the configured file; without either the broker.
func (b *Bootstrap) DeadLettersDriver() string {
	letters := b.GetMqtt().GetDeadLetters()
	return cmp.Or(letters.GetDriver(), b.ifDatabase(stores.DeadLettersDriver(letters)))
}

// Settings returns all messages of kratosmqtt.v1, with the default drivers filled in.
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
	return s
}

func (b *Bootstrap) ifDatabase(otherwise string) string {
	if b.GetData().GetDatabase() != nil {
		return DriverSQL
	}
	return otherwise
}
