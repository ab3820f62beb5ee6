package bridge

import (
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// contradictions are messages whose header and declared field differ. The field
// counts; they are counted, and told once a minute.
type contradictions struct {
	ids, keys       atomic.Int64
	idLine, keyLine logsafe.PerMinute
}

// declaresID reports whether a field has the id of messages.
func (c *consumer) declaresID() bool {
	return c.field != nil || c.method != nil && c.method.ID != nil
}

// identifyBy takes the id out of the field that is declared for it: in code, else
// in the method.
func (c *consumer) identifyBy(e *Event) {
	switch {
	case c.field != nil:
		e.Identify(c.field.Of(e.msg.Body))
	case c.method != nil && c.method.ID != nil:
		e.Identify(c.method.ID(e.msg.Body))
	}
	if id := e.DeclaredID(); id != "" {
		e.msg.ID = id
	}
}

// compare notes a header that contradicts a declared field, once for a message.
func (c *consumer) compare(e *Event) {
	if len(e.Header()) == 0 || !e.delivery.First() {
		return
	}
	b := c.broker
	if id, own := envelope.HeaderID(e.Header()), e.DeclaredID(); own != "" && id != "" && id != own {
		c.contradicts(e, &b.contradictions.ids, &b.contradictions.idLine, "id", id, own)
	}
	if c.method == nil || c.method.Key == nil {
		return
	}
	if header, _ := envelope.Last(e.Header(), envelope.OrderHeader); header != "" {
		if key := c.method.Key(e.msg.Body); key != "" && key != header {
			c.contradicts(e, &b.contradictions.keys, &b.contradictions.keyLine, "ordering key", header, key)
		}
	}
}

func (c *consumer) contradicts(e *Event, count *atomic.Int64, line *logsafe.PerMinute, what, header, field string) {
	n := count.Add(1)
	if line.Due(time.Now()) {
		c.broker.state().log.Warnf("mqtt: filter %q: the %s %q in a header contradicts the field declared for it, %q, which counts: topic %q (%d so far, said once a minute)",
			c.filter, what, clip(header), clip(field), clip(e.delivery.Topic), n)
	}
}
