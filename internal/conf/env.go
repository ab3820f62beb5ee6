package conf

import (
	"os"
	"strings"

	"github.com/go-kratos/kratos/v2/config"
	"github.com/go-kratos/kratos/v2/config/env"
)

// The environment variables that the shipped configuration files refer to.
const (
	EnvPrefix         = "KM_"
	EnvHTTPAddr       = EnvPrefix + "HTTP_ADDR"
	EnvGRPCAddr       = EnvPrefix + "GRPC_ADDR"
	EnvMQTTAddr       = EnvPrefix + "MQTT_ADDR"
	EnvMQTTBroker     = EnvPrefix + "MQTT_BROKER"
	EnvDatabaseDriver = EnvPrefix + "DATABASE_DRIVER"
	EnvDatabaseSource = EnvPrefix + "DATABASE_SOURCE"
	EnvOutbox         = EnvPrefix + "OUTBOX"
	EnvOutboxPath     = EnvPrefix + "OUTBOX_PATH"
)

// environment offers the variables with EnvPrefix to ${...} placeholders under
// their full names; Kratos' own source would cut the prefix off. A variable
// that is set but empty counts as unset.
type environment struct{}

// Load implements config.Source.
func (environment) Load() ([]*config.KeyValue, error) {
	var kvs []*config.KeyValue
	for _, variable := range os.Environ() {
		key, value, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(key, EnvPrefix) && value != "" {
			kvs = append(kvs, &config.KeyValue{Key: key, Value: []byte(value)})
		}
	}
	return kvs, nil
}

// Watch implements config.Source; the environment never changes.
func (environment) Watch() (config.Watcher, error) { return env.NewWatcher() }
