package session

import (
	"context"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// purge ends the session that the broker keeps, on a connection of its own.
// MQTT 3.1.1 has no clean start of a session that is to be kept.
func (s *Session) purge(ctx context.Context, addr link.Address, k credentials) error {
	nc, err := s.socket(ctx, addr)
	if err != nil {
		return err
	}
	if err := purge311(ctx, &s.cfg, nc, k); err != nil {
		return connectError(err)
	}
	return nil
}

// renew is the same on MQTT 5, where CONNACK tells that there is one, and
// returns the connection that has none. What Clean Start makes is not what we go
// on with: Mosquitto 2.0.11 saves no session whose last CONNECT had it, so that
// the exchanges in flight would end with the next restart of the broker.
func (s *Session) renew(ctx context.Context, old *conn, ctl control, addr link.Address, k credentials) (*conn, control, error) {
	ctl.disconnect(0) // or the will would be published
	s.drop(old, ctl)
	clean := s.cfg
	clean.CleanSession, clean.SessionExpiry, clean.Will = true, 0, nil
	var c *conn
	for _, cfg := range []*Config{&clean, &s.cfg} {
		apart := func(bool) bool { return cfg == &clean }
		nc, err := s.socket(ctx, addr)
		if err != nil {
			return nil, nil, err
		}
		if c, ctl, err = s.handshake(ctx, cfg, nc, wire.V5, k, apart); err != nil {
			return nil, nil, connectError(err)
		}
		if cfg == &clean {
			s.renewed = true // once: what is there from now on may be in use
			s.drop(c, ctl)
		}
	}
	return c, ctl, nil
}
