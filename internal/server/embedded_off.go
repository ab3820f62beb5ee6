//go:build noembedded

package server

import (
	"fmt"

	"github.com/go-kratos/kratos/v2/log"

	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

func startEmbedded(*conf.Server_Embedded, log.Logger) (*Embedded, error) {
	return nil, fmt.Errorf("this binary was built without it (-tags noembedded); set %s to the address of a broker", conf.EnvMQTTBroker)
}
