package conf

// Environment variables that the shipped configuration files refer to.
const (
	EnvPrefix         = "KM_"
	EnvHTTPAddr       = EnvPrefix + "HTTP_ADDR"
	EnvGRPCAddr       = EnvPrefix + "GRPC_ADDR"
	EnvMQTTAddr       = EnvPrefix + "MQTT_ADDR"
	EnvMQTTPath       = EnvPrefix + "MQTT_PATH"
	EnvMQTTBroker     = EnvPrefix + "MQTT_BROKER"
	EnvDatabaseDriver = EnvPrefix + "DATABASE_DRIVER"
	EnvDatabaseSource = EnvPrefix + "DATABASE_SOURCE"
	EnvOutbox         = EnvPrefix + "OUTBOX"
	EnvOutboxPath     = EnvPrefix + "OUTBOX_PATH"
	// EnvOperatorToken is read by the service itself, so that no configuration has the token.
	EnvOperatorToken = EnvPrefix + "OPERATOR_TOKEN"
)
