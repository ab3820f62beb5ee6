package client

import (
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// arrived shows a message that has user properties to who looks at all of them
// in the order of arrival. One of a shared subscription is left out: others of
// its topic go to other members.
func (at *subscriber) arrived(m *session.Inbound, matched []*Subscription) {
	look := at.run.client.cfg.Arrived
	if look == nil || m.Properties == nil || len(m.Properties.User) == 0 {
		return
	}
	for _, s := range matched {
		if at.takes(s, m) && !s.shared() {
			look(m)
			return
		}
	}
}

// Shared says that the subscription is, so that others may handle what is next.
func (d *Delivery) Shared() bool { return d.sub.shared() }
