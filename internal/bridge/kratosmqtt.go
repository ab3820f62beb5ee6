package bridge

import (
	"crypto/tls"
	"fmt"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine"
)

// Connection applies the connection part of a service's configuration.
func (s *Settings) Connection(c *v1.Connection) {
	if c == nil {
		s.Errs = append(s.Errs, fmt.Errorf("connection settings are nil"))
		return
	}
	addrs, err := engine.ParseAddresses(c.GetAddresses())
	if err != nil {
		s.Errs = append(s.Errs, err)
	}
	cfg := &s.Config
	cfg.Addresses = addrs
	cfg.ClientID = c.GetClientId()
	cfg.Username, cfg.Password = c.GetUsername(), c.GetPassword()
	cfg.KeepAlive = c.GetKeepAlive().AsDuration()
	cfg.ConnectTimeout = c.GetConnectTimeout().AsDuration()
	cfg.WriteTimeout = c.GetWriteTimeout().AsDuration()
	cfg.MaxReconnectDelay = c.GetMaxReconnectDelay().AsDuration()
	cfg.NoReconnect = c.AutoReconnect != nil && !c.GetAutoReconnect()
	cfg.CleanSession = c.CleanSession
	if t := c.GetTls(); t != nil {
		load := func() (*tls.Config, error) {
			return engine.LoadTLS(t.GetCaFile(), t.GetCertFile(), t.GetKeyFile(), t.GetServerName(), t.GetInsecureSkipVerify())
		}
		if _, err := load(); err != nil {
			s.Errs = append(s.Errs, err)
		}
		cfg.TLS = load // read anew at each connection, so that rotation needs no restart
	}
}

// Publisher applies the publisher part of a service's configuration.
func (s *Settings) Publisher(p *v1.Publisher) {
	if p == nil {
		return
	}
	s.Config.PublishTimeout = p.GetTimeout().AsDuration()
	s.Config.MaxPayload = int(p.GetMaxPayload())
}

// Subscriber applies the subscriber part of a service's configuration.
func (s *Settings) Subscriber(c *v1.Subscriber) {
	if c == nil {
		return
	}
	s.Config.Concurrency = int(c.GetConcurrency())
	s.Config.Queue = int(c.GetQueue())
	s.Config.HandlerTimeout = c.GetHandlerTimeout().AsDuration()
	s.Config.RetryBudget = c.GetRetryBudget().AsDuration()
	s.Config.DeadLetterTopic = c.GetDeadLetterTopic()
}
