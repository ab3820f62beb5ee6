package option

import (
	"errors"
	"time"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/stores"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// Check returns all errors of a configuration, of both layers. It opens no connection and
// logs nothing. database reports whether the service has a database.
func Check(c *v1.Settings, database bool, codecs func(name string) envelope.Codec) error {
	s := &client.Settings{Codec: "proto", Codecs: codecs}
	s.Config.Logger = logsafe.Silence
	s.Connection(c.GetConnection())
	s.TakeAddresses(c.GetConnection().GetAddresses())
	s.Publisher(c.GetPublisher())
	s.Subscriber(c.GetSubscriber())
	s.DeadLetters(c.GetDeadLetters())
	s.Config.DeadLetters = deadletter.NewMemory(0)
	if waiting, err := outbox.NewMemory(outbox.MemoryOptions{}); err == nil && c.GetOutbox() != nil {
		s.Outbox = Outbox(c.GetOutbox(), waiting)
	}
	_, err := client.New(s, client.NewLasting(), nil)
	return errors.Join(err, stores.Check(c, database))
}

// commitPoll is how often a table is looked at: nothing tells when the
// transaction of a message has committed.
const commitPoll = 200 * time.Millisecond

// Outbox returns the settings of a configured outbox.
func Outbox(c *v1.Outbox, store outbox.Store) *client.Outbox {
	o := &client.Outbox{Store: store}
	if o.Configure(c); c.GetDriver() == stores.DriverSQL {
		o.Poll = commitPoll
	}
	return o
}
