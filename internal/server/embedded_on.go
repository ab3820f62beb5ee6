//go:build !noembedded

package server

import (
	"context"

	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/embedded"
)

func startEmbedded(addr string) (*Embedded, error) {
	b, err := embedded.New(embedded.WithAddress(addr))
	if err != nil {
		return nil, listenError(addr, conf.EnvMQTTAddr, err)
	}
	if err := b.Start(context.Background()); err != nil {
		return nil, listenError(addr, conf.EnvMQTTAddr, err)
	}
	queued := func(clientID string) int {
		for _, client := range b.Clients() {
			if client.ID == clientID {
				return client.Queued
			}
		}
		return 0
	}
	return &Embedded{url: b.URL(), queued: queued, close: b.Close}, nil
}
