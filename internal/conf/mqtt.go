package conf

import (
	"cmp"

	"google.golang.org/protobuf/proto"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event/stores"
)

// The drivers of the outbox, the dedup window and the dead letters.
const (
	DriverFile     = stores.DriverFile
	DriverSQL      = stores.DriverSQL
	DriverMemory   = stores.DriverMemory
	DriverRetained = stores.DriverRetained
	DriverNone     = stores.DriverNone
)

// OutboxDriver is how messages wait for the broker: DriverNone unless
// configured.
func (m *MQTT) OutboxDriver() string { return cmp.Or(m.GetOutbox().GetDriver(), DriverNone) }

// DedupDriver is how the effects of messages happen once: in the database where
// there is one, unless configured.
func (b *Bootstrap) DedupDriver() string {
	return cmp.Or(b.GetMqtt().GetDedup().GetDriver(), b.ifDatabase(DriverNone))
}

// DeadLettersDriver is where messages are kept that cannot be handled: unless
// configured in the database, without one in the file that is named, else at the
// broker.
func (b *Bootstrap) DeadLettersDriver() string {
	letters := b.GetMqtt().GetDeadLetters()
	return cmp.Or(letters.GetDriver(), b.ifDatabase(stores.DeadLettersDriver(letters)))
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
	return s
}

func (b *Bootstrap) ifDatabase(otherwise string) string {
	if b.GetData().GetDatabase() != nil {
		return DriverSQL
	}
	return otherwise
}
