package data

import (
	"cmp"
	"math"

	"github.com/go-kratos/kratos/v2/errors"
	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/proto"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// defaultUnsaved is the default bound, in bytes, on published messages that are not
// saved yet.
const defaultUnsaved = 16 << 20

// NewBacklog returns the bound on messages that this process has published and not
// yet saved.
func NewBacklog(c *conf.MQTT) *event.Backlog {
	return event.NewBacklog(int64(min(cmp.Or(c.GetMaxUnsavedBytes(), defaultUnsaved), math.MaxInt64)))
}

// admit counts a message that is published without an outbox, and returns a function
// that undoes it. Over the bound the error is a Kratos 503.
func admit(b *event.Backlog, topic string, msg *broker.Message) (back func(), err error) {
	size := 0
	if msg != nil {
		if m, ok := msg.Body.(proto.Message); ok {
			size = proto.Size(m)
		}
	}
	if !b.Take(topic, size) {
		return nil, errors.ServiceUnavailable(reportv1.ErrorReason_SAVER_BEHIND.String(),
			"too many events are not saved yet; the event was not accepted, try again later")
	}
	return func() { b.Return(topic, size) }, nil
}
