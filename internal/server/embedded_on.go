//go:build !noembedded

package server

import (
	"log/slog"

	"github.com/go-kratos/kratos/v2/log"

	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

func startEmbedded(c *conf.Server_Embedded, logger log.Logger) (*Embedded, error) {
	opts := []broker.Option{broker.WithAddress(c.Addr), broker.WithLogger(slog.New(brokerLog{Logger: logger}))}
	if c.Path != "" {
		opts = append(opts, broker.WithFile(c.Path))
	}
	b, err := broker.Listen(opts...)
	if err != nil {
		return nil, listenError(c.Addr, conf.EnvMQTTAddr, err)
	}
	queued := func(clientID string) int {
		for _, session := range b.Sessions() {
			if session.ClientID == clientID {
				return session.Pending
			}
		}
		return 0
	}
	return &Embedded{url: b.URL(), path: c.Path, queued: queued, close: b.Close}, nil
}
