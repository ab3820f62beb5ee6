package client

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
	return c.field != nil || c.typed.Method != nil && c.typed.Method.ID != nil
}

// identify takes the id out of the field that is declared for it: in code, else
// in the method.
func (c *consumer) identify(e *envelope.Event) {
	switch {
	case c.field != nil:
		e.Identify(c.field.Of(e.Body))
	case c.typed.Method != nil && c.typed.Method.ID != nil:
		e.Identify(c.typed.Method.ID(e.Body))
	}
}

// compare notes a header that contradicts a declared field, once for a message.
func (c *consumer) compare(d *Delivery) {
	if len(d.Header()) == 0 || !d.First() {
		return
	}
	seen, m := &c.client.Load().lasting.contradictions, c.typed.Method
	if id, own := envelope.HeaderID(d.Header()), d.DeclaredID(); own != "" && id != "" && id != own {
		c.contradicts(d, &seen.ids, &seen.idLine, "id", id, own)
	}
	if m == nil || m.Key == nil {
		return
	}
	if header, _ := envelope.Last(d.Header(), envelope.OrderHeader); header != "" {
		if key := m.Key(d.Body); key != "" && key != header {
			c.contradicts(d, &seen.keys, &seen.keyLine, "ordering key", header, key)
		}
	}
}

func (c *consumer) contradicts(d *Delivery, count *atomic.Int64, line *logsafe.PerMinute, what, header, field string) {
	n := count.Add(1)
	if line.Due(time.Now()) {
		c.client.Load().log.Warnf("mqtt: filter %q: the %s %q in a header contradicts the field declared for it, %q, which counts: topic %q (%d so far, said once a minute)",
			c.filter, what, logsafe.Clip(header), logsafe.Clip(field), logsafe.Clip(d.Topic), n)
	}
}
