//go:build noembedded

package server

import (
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

func startEmbedded(string) (*Embedded, error) {
	return nil, fmt.Errorf("this binary was built without it (-tags noembedded), set %s to the broker to use", conf.EnvMQTTBroker)
}
