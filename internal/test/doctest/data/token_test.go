package data

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// TestToken authenticates as docs/guide/configuration.md shows it.
func TestToken(t *testing.T) {
	t.Parallel()
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	address := broker.WithAddress(mqtttest.InProcess(t, testbroker.WithEnhancedAuthentication("OAUTH2-JWT", func(string) testbroker.Exchange {
		return func(data []byte) ([]byte, byte) {
			if string(data) != "secret" {
				return nil, 0x87
			}
			return nil, 0
		}
	})).URL())
	issue := func(context.Context) (event.Token, error) {
		value, err := os.ReadFile(tokenFile) // or ask the issuer
		return event.Token{Value: string(value)}, err
	}
	b := mqttbroker.NewBroker(address, mqttbroker.WithAuthenticator(event.NewTokenAuthenticator("OAUTH2-JWT", issue)))
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	if !b.Health().Connected {
		t.Error("not connected")
	}
	if err := b.Disconnect(); err != nil {
		t.Error(err)
	}
}
